"""Where labelled examples come from: parquet shards as the Hub has them, a table with a folder, a folder of classes.

Each gives classes, labels and a way to read the examples of some indices; nothing is decoded here.
"""
