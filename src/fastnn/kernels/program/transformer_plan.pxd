"""The pointer faces of frozen Transformers are in transformer_run.pxd."""
