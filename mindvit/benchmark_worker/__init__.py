"""The processes in which the command benchmark measures, each with one contestant. No other module imports this."""
