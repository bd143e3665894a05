"""The audit trail: who dropped what, when, what was decided, by which rule, with what effect."""
