"""lm_eval's command line with the model class `whittle` registered."""

from lm_eval.__main__ import cli_evaluate

from . import WhittleLM  # noqa: F401  (registers itself)


def main():
    cli_evaluate()


if __name__ == "__main__":
    main()
