"""What a reply says: the words of a model, read without a guess; shared by every task."""
