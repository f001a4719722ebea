"""What fastnn.capi cannot do in Python: read capsules, and build the table of include/fastnn.h."""
from cpython.pycapsule cimport PyCapsule_GetName, PyCapsule_GetPointer, PyCapsule_New
from libc.stdint cimport int64_t, uint32_t, uint64_t, uintptr_t
from libc.stdlib cimport calloc

from .ground.arrays cimport BAD_ARGUMENT, NO_MEMORY, OK, WRONG_TYPE

cdef struct Head:
    # The head of fastnn_api in fastnn.h; its slots follow.
    uint32_t abi_version
    uint32_t api_version
    uint64_t size
    const char *version
    const char *isa

ctypedef void *Slot


cdef const char *strerror(int status) noexcept nogil:
    if status == OK:
        return "fastnn: no error"
    if status == NO_MEMORY:
        return "fastnn: no memory for scratch"
    if status == BAD_ARGUMENT:
        return (
            "fastnn: bad argument (a negative size, a missing pointer, an unknown code, "
            "a label that is no column, or an overlap)"
        )
    if status == WRONG_TYPE:
        return "fastnn: the plan is of the other real type"
    return "fastnn: unknown status"


def signature(capsule):
    """Return the C signature of an exported Cython function: ``int (int64_t, float const *)``."""
    return PyCapsule_GetName(capsule).decode()


def address(capsule):
    """Return the address in a capsule as an int."""
    return <uintptr_t>PyCapsule_GetPointer(capsule, PyCapsule_GetName(capsule))


# Keeps the names of capsules alive: a capsule holds a pointer to its name, not a copy.
_names = {}


def new_capsule(address, str name):
    """Wrap an address in a capsule of this name; both must live as long as the process."""
    kept = _names.setdefault(name, name.encode())
    return PyCapsule_New(<void*><uintptr_t>address, <const char*>kept, NULL)


def new_table(uint32_t abi, uint32_t api, bytes version, bytes isa, addresses):
    """Build a fastnn_api, which is never freed, and return its address."""
    cdef int64_t i, n = len(addresses)
    cdef uint64_t size = sizeof(Head) + n * sizeof(Slot)
    cdef Head *head = <Head*>calloc(1, size)
    if head is NULL:
        raise MemoryError("fastnn.capi: no memory for the table of functions")
    _names[version], _names[isa] = version, isa
    head.abi_version, head.api_version, head.size = abi, api, size
    head.version, head.isa = version, isa
    cdef Slot *slots = <Slot*>(head + 1)
    for i in range(n):
        slots[i] = <Slot><uintptr_t>addresses[i]
    return <uintptr_t>head
