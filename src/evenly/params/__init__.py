"""Settings: params.yaml and datasets.yaml as typed, validated, frozen values. Nothing here does any work."""
