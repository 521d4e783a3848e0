"""The page of the package index is README.md, whose relative links lead to the repository there.

All else stands in setup.cfg.
"""

import configparser
import re
from pathlib import Path

from setuptools import setup


def absolute(text, url):
    """Markdown whose relative links and images are below `url`; links within the page stay."""

    def target(match):
        image, label, path = match.groups()
        kind = "raw" if image else "blob"
        return f"{image}[{label}]({url}/{kind}/main/{path})"

    return re.sub(r"(!?)\[([^\]]*)\]\((?!#|[a-z]+:)([^)]*)\)", target, text)


if __name__ == "__main__":
    config = configparser.ConfigParser()
    config.read("setup.cfg", "utf-8")
    setup(
        long_description=absolute(Path("README.md").read_text("utf-8"), config["metadata"]["url"]),
        long_description_content_type="text/markdown",
    )
