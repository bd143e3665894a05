"""The life of an intent: ``admit``, ``attempt``, ``outcome``, ``reconcile``; ``model`` has their nouns."""
