"""The C extension, the abi3 switch and a build that starts anew; pyproject.toml has the rest."""

import os
import shutil
import sysconfig
from glob import glob

from setuptools import Extension, setup
from setuptools.command.build import build

# Free-threaded builds have no stable ABI before 3.15: they get one wheel per version.
abi3 = not sysconfig.get_config_var("Py_GIL_DISABLED")

# Debug information triples the size of a wheel, and the CFLAGS of some Pythons ask for it.
# It is made only for somebody who asks for it in the environment.
debug = any(flag.startswith("-g") for flag in os.environ.get("CFLAGS", "").split())


class BuildAnew(build):
    """Remove what an earlier build left, perhaps with other flags or with more modules."""

    def run(self):
        shutil.rmtree(os.path.join(self.build_lib, "sysvmq"), ignore_errors=True)
        super().run()


setup(
    cmdclass={"build": BuildAnew},
    ext_modules=[
        Extension(
            "sysvmq._sysvmq",
            sources=["src/sysvmq/_sysvmq.c"],
            depends=glob("src/sysvmq/*.h"),
            define_macros=[("Py_LIMITED_API", "0x030B0000")] if abi3 else [],
            extra_compile_args=[
                "-std=c11",
                "-Wall",
                "-Wextra",
                "-Wno-unused-parameter",
                "-Wno-missing-field-initializers",
                "-fvisibility=hidden",
                *([] if debug else ["-g0"]),
            ],
            py_limited_api=abi3,
        )
    ],
    options={"bdist_wheel": {"py_limited_api": "cp311"}} if abi3 else {},
)
