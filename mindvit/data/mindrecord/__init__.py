"""Image files packed into MindRecord shards: conversion, verification and reading as a data source."""
