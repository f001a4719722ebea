from typing import Any

isa: str
isa_float: str
isa_found: tuple[str, ...]
isa_compiled: tuple[str, ...]
isa_slow: tuple[str, ...]

def build_info() -> dict[str, Any]: ...
