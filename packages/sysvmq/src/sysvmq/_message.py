"""What ``receive`` returns."""

from collections import namedtuple

Message = namedtuple("Message", ("item", "msg_type"), module=__package__)
Message.__doc__ = "An item with the type (1 to the largest C long) that its message had."
