"""The program's own speed, as ratios in one run against what a user would otherwise use. Only webui.main imports this."""
