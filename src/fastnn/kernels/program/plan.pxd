"""The class; how a plan is run by pointer is in plan_run.pxd."""
