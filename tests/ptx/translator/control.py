"""Branches, calls, barriers and fences."""
import re

from translator.arithmetic import instruction
from translator.function import cpp_name

LIBRARY = {'vprintf': 'vprintf', '__assertfail': 'assertfail'}


@instruction('bra')
def branch(i):
    i.emit(f'goto {i.function.label(i.rest)};')


@instruction('ret')
def return_(i):
    i.emit('return;')


@instruction('exit')
def exit_(i):
    if i.function.parameters is None:      # in a function, it would end the thread
        i.unsupported()
    i.emit('return;')


@instruction('trap', 'brkpt')
def trap(i):
    i.emit(f'fail(self, {i.at}, "trap");')


@instruction('call')
def call(i):
    match = re.fullmatch(r'(?:\(([^)]*)\), )?([\w$]+)(?:, \(([^)]*)\))?', i.rest)
    if not match:
        i.unsupported()
    name = match[2]
    if name not in i.function.module.functions and name not in LIBRARY:
        i.unsupported()
    arguments = [x.strip() for x in f'{match[1] or ""},{match[3] or ""}'.split(',') if x.strip()]
    target = LIBRARY.get(name) or 'function_' + cpp_name(name)
    i.emit(f'{target}({", ".join(["self"] + [cpp_name(x) for x in arguments])});')


@instruction('bar', 'barrier')
def barrier(i):
    if i.has('cluster'):
        i.unsupported()
    if i.has('warp'):
        return i.emit(f'warp_barrier(self, {i.read(0, "b32")}, {i.at});')
    if i.has('red'):
        operands = i.operands[1:]
        count = i.function.read(operands[1], 'u32') if len(operands) > 2 else '0'
        vote = i.function.read(operands[-1], 'pred')
        call_ = f'barrier(self, {i.function.read(operands[0], "u32")}, {count}, {vote}, {i.at})'
        if i.has('popc'):
            return i.function.write(i.destination, 'u32', call_ + '.count')
        return i.function.write(i.destination, 'pred', call_ + ('.all' if i.has('and') else '.any'))
    number = i.read(0, 'u32')
    count = i.read(1, 'u32') if len(i.operands) > 1 else '0'
    if i.has('arrive'):
        return i.emit(f'barrier_arrive(self, {number}, {count}, {i.at});')
    return i.emit(f'barrier(self, {number}, {count}, true, {i.at});')


@instruction('membar', 'fence')
def fence(i):
    if i.has('proxy'):
        i.unsupported()
    i.emit('memory_fence();')


@instruction('nanosleep', 'griddepcontrol', 'pragma')
def nothing(i):
    i.emit(';')
