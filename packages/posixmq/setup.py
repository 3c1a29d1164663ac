"""The C extension and the abi3 switch; everything else is in pyproject.toml."""

import sysconfig
from glob import glob

from setuptools import Extension, setup

# Free-threaded builds have no stable ABI before 3.15: they get one wheel per version.
abi3 = not sysconfig.get_config_var("Py_GIL_DISABLED")

setup(
    ext_modules=[
        Extension(
            "posixmq._posixmq",
            sources=["src/posixmq/_posixmq.c"],
            depends=glob("src/posixmq/*.h"),
            define_macros=[("Py_LIMITED_API", "0x030B0000")] if abi3 else [],
            extra_compile_args=[
                "-std=c11",
                "-Wall",
                "-Wextra",
                "-Wno-unused-parameter",
                "-Wno-missing-field-initializers",
                "-fvisibility=hidden",
            ],
            py_limited_api=abi3,
        )
    ],
    options={"bdist_wheel": {"py_limited_api": "cp311"}} if abi3 else {},
)
