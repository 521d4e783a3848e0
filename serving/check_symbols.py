"""Looks for the C functions that `c_api.py` binds in the libraries of TensorFlow's wheels.

    pip install lief
    pip download --no-deps --only-binary :all: --platform macosx_12_0_arm64 tensorflow
    python serving/check_symbols.py tensorflow-*.whl

The wheels may be of systems other than this one: their symbols are read, nothing is run.
"""

import sys
import tempfile
import zipfile
from pathlib import Path

import lief

from keras_attention_serving.runtime import c_api

OPTIONAL = "_ZN10tensorflow21DisableXlaCompilationEv"


def exported(path):
    """The symbols that an ELF or Mach-O library offers, without Mach-O's leading underscore."""
    # What is read stays in a variable as long as its symbols: they live in it.
    if path.name.endswith(".dylib"):
        config = lief.MachO.ParserConfig()
        config.parse_dyld_exports = True
        config.parse_dyld_bindings = config.parse_dyld_rebases = False
        libraries = lief.MachO.parse(path, config)
        binary = libraries.at(0)
        return {symbol.name.removeprefix("_") for symbol in binary.exported_symbols}
    config = lief.ELF.ParserConfig()
    config.parse_relocations = config.parse_symtab_symbols = False
    binary = lief.ELF.parse(path, config)
    return {symbol.name for symbol in binary.exported_symbols}


def main(wheels):
    wanted, missing = sorted(c_api.FUNCTIONS), 0
    for name in wheels:
        with tempfile.TemporaryDirectory() as folder, zipfile.ZipFile(name) as wheel:
            for file in wheel.namelist():
                if file.startswith("tensorflow/libtensorflow_"):
                    wheel.extract(file, folder)
            library = c_api.runtime_library(Path(folder) / "tensorflow")
            if library is None:
                raise SystemExit(f"{name}: Expected libtensorflow_cc. Received: none")
            # A name is also looked for in the libraries that one depends on.
            framework = library.with_name(library.name.replace("_cc", "_framework"))
            names = exported(library) | exported(framework)
        absent = [function for function in wanted if function not in names]
        missing += len(absent)
        print(f"{name}: {library.name} has {len(wanted) - len(absent)} of {len(wanted)} functions")
        print(f"  missing: {', '.join(absent) or 'none'}; XLA can be disabled: {OPTIONAL in names}")
    return missing > 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
