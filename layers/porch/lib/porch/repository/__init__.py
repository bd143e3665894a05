"""Brings a package into a Porch repository (porch.kpt.dev/v1alpha1). Loaded only when one is named."""
