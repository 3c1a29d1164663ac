"""The class of what ``receive`` returns. Imported with the first queue."""

from collections import namedtuple

Message = namedtuple("Message", ("item", "priority"), module=__package__)
Message.__doc__ = "An item, and the priority of its message (0 to 32767)."
