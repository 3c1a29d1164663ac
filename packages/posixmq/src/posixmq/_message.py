"""What ``receive`` returns."""

from collections import namedtuple

Message = namedtuple("Message", ("item", "priority"), module=__package__)
Message.__doc__ = "An item with the priority (0 to 32767) that its message had."
