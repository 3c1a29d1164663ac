"""How the extension of either package is built: the abi3 switch, the flags, a build that starts anew."""

import os
import shutil
import sysconfig
from glob import glob

from setuptools import Extension, setup
from setuptools.command.build import build

# Free-threaded builds have no stable ABI before 3.15: they get one wheel per version.
ABI3 = not sysconfig.get_config_var("Py_GIL_DISABLED")

FLAGS = [
    "-std=c11",
    "-Wall",
    "-Wextra",
    "-Wno-unused-parameter",
    "-Wno-missing-field-initializers",
    "-fvisibility=hidden",
]


class BuildAnew(build):
    """Remove what an earlier build left, perhaps with other flags or with more modules."""

    def run(self):
        package = os.path.join(self.build_lib, self.distribution.get_name())
        shutil.rmtree(package, ignore_errors=True)
        super().run()


def debug_flags():
    """Leave out debug information, unless CFLAGS of the environment ask for it.

    It triples the size of a wheel, and the flags of some Pythons ask for it.
    """
    asked = any(flag.startswith("-g") for flag in os.environ.get("CFLAGS", "").split())
    return [] if asked else ["-g0"]


def sources():
    """Return the C files of a package: its own, and those of the core, which it has a link to."""
    return sorted([*glob("ext/*.c"), *glob("ext/mqc/**/*.c", recursive=True)])


def setup_package(name):
    """Run setuptools for posixmq or sysvmq."""
    extension = Extension(
        f"{name}._{name}",
        sources=sources(),
        depends=sorted(glob("ext/**/*.h", recursive=True)),
        define_macros=[("Py_LIMITED_API", "0x030B0000")] if ABI3 else [],
        extra_compile_args=[*FLAGS, *debug_flags()],
        py_limited_api=ABI3,
    )
    setup(
        cmdclass={"build": BuildAnew},
        ext_modules=[extension],
        options={"bdist_wheel": {"py_limited_api": "cp311"}} if ABI3 else {},
    )
