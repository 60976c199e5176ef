"""python -m webui."""

from webui.main import main

if __name__ == "__main__":
    raise SystemExit(main())
