"""Starting a program as a job of many workers, on MindSpore's ``msrun``, and ending it in order."""
