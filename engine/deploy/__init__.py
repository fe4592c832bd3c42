"""From a template to resources: read, transformed, resolved, compared with what there is, and applied."""
