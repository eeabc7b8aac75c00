"""Corpus, training and fine-tuning of the bundled model."""
