from typing import Any

isa: str
isa_found: tuple[str, ...]
isa_compiled: tuple[str, ...]

def build_info() -> dict[str, Any]: ...
