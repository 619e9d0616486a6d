"""The file that every saved featurizer has."""

#: In the folder of every featurizer: what it is and how it was fitted.
DESCRIPTION = "featurizer.json"
