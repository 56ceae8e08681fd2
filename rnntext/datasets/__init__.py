"""Datasets: files, or data sets of the Hugging Face hub, read as Examples one row at a time."""
