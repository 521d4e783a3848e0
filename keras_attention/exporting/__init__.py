"""Export of models as SavedModels, with their signatures, checks and warm-up requests."""
