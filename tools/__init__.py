"""What builds and measures the repository; nothing here is installed."""
