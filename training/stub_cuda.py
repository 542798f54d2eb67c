"""Empty stand-ins for the CUDA libraries that PyPI's torch wheel is linked against, so that it loads without them.

usage: VENV/bin/python stub_cuda.py        (needs readelf, nm and gcc)

The dynamic linker wants every library named NEEDED and every versioned symbol; each stand-in symbol aborts when called, which nothing on the CPU path
does. Made for torch 2.15.0; symbols are read from the wheel, so other versions may work.
"""

import re
import subprocess
import sysconfig
import tempfile
from collections import defaultdict
from pathlib import Path

SITE = Path(sysconfig.get_paths()["purelib"])
TORCH_LIB = SITE / "torch/lib"
USERS = [
    "libtorch_cuda.so", "libtorch_cpu.so", "libtorch_python.so", "libc10_cuda.so", "libtorch_nvshmem.so",
    "libtorch_global_deps.so", "libtorch_cuda_linalg.so",
]  # fmt: skip
CUDA_LIBRARY = re.compile(r"lib(cu|nccl|nv)")
CUDA_SYMBOL = re.compile(r"(cu|nccl|nvrtc|nvshmem|nvJit)")


def run(*command) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def version_owners(library: Path) -> dict[str, str]:
    """Symbol version -> library that must define it."""
    owners, current = {}, None
    for line in run("readelf", "-V", "--wide", str(library)).splitlines():
        if m := re.search(r"File: (\S+)", line):
            current = m[1]
        elif current and (m := re.search(r"Name: (\S+)\s+Flags", line)):
            owners[m[1]] = current
    return owners


def missing_symbols() -> dict[str, dict[str, set[str]]]:
    """library -> version -> symbols, for the CUDA libraries that are not installed."""
    present = {p.name for p in SITE.glob("nvidia/*/lib/*.so*")} | {p.name for p in TORCH_LIB.iterdir()}
    needed, owners, undefined = set(), {}, set()
    for library in (TORCH_LIB / n for n in USERS if (TORCH_LIB / n).exists()):
        needed |= set(re.findall(r"NEEDED.*\[(.+?)\]", run("readelf", "-d", str(library))))
        owners |= version_owners(library)
        undefined |= {line.split()[-1] for line in run("nm", "-D", "--undefined-only", str(library)).splitlines()}
    stubs = {n: defaultdict(set) for n in sorted(needed) if CUDA_LIBRARY.match(n) and n not in present}
    anywhere = next((n for n in stubs if "cudnn" in n), None)
    for symbol in undefined:
        name, _, version = symbol.replace("@@", "@").partition("@")
        if version:
            if owners.get(version) in stubs:
                stubs[owners[version]][version].add(name)
        elif anywhere and CUDA_SYMBOL.match(name):
            stubs[anywhere][""].add(name)
    return stubs


def build(library: str, versions: dict[str, set[str]]) -> None:
    names = sorted(set().union(*versions.values())) if versions else []
    source = "void abort(void);\n" + "".join(f"void {n}(void) {{ abort(); }}\n" for n in names)
    script = "".join(f"{v} {{ global: {' '.join(n + ';' for n in sorted(s))} }};\n" for v, s in versions.items() if v)
    with tempfile.TemporaryDirectory() as folder:
        c, map_file = Path(folder, "stub.c"), Path(folder, "versions.map")
        c.write_text(source)
        map_file.write_text(script)
        flags = [f"-Wl,--version-script={map_file}"] if script else []
        run("gcc", *flags, "-w", "-fno-builtin", "-shared", "-fPIC", f"-Wl,-soname,{library}", "-o", str(TORCH_LIB / library), str(c))
    print(f"{library}: {len(names)} symbols")


if __name__ == "__main__":
    for library, versions in missing_symbols().items():
        build(library, versions)
