"""The class of what ``receive`` returns. Imported with the first queue."""

from collections import namedtuple

Message = namedtuple("Message", ("item", "msg_type"), module=__package__)
Message.__doc__ = "An item, and the type of its message (1 to the largest C long)."
