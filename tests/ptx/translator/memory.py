"""Loads, stores, atomics, asynchronous copies, address spaces."""
from translator.arithmetic import instruction
from translator.ptx import BITS, FLOATS, UNSIGNED, cpp_type, elements

SPACES = ('shared', 'global', 'local', 'const', 'param')
ORDERS = {'acquire': '__ATOMIC_ACQUIRE', 'release': '__ATOMIC_RELEASE', 'acq_rel': '__ATOMIC_ACQ_REL'}


def space_of(i):
    return next((m.split('__')[0] for m in i.modifiers if m.split('__')[0] in SPACES), 'generic')


def address_of(i, operand, space, bytes_):
    """A C++ expression of the checked generic address."""
    address = i.function.address(operand)
    return f'shared_address(self, shared, {address}, {bytes_}, {i.at})' if space == 'shared' else address


def ordered(i):
    return i.has('volatile', 'relaxed', 'acquire', 'release', 'mmio')


@instruction('ld', 'ldu')
def load(i):
    space, registers = space_of(i), elements(i.destination)
    if i.has('b128'):
        i.unsupported()
    kind = i.type if i.type in ('s8', 's16', 's32') else 'b' + str(BITS[i.type])
    element = cpp_type(kind)
    bytes_ = BITS[i.type] // 8 * len(registers)
    if space == 'param':
        for n, register in enumerate(registers):
            value = f'load_private<{element}>({i.function.address(i.operands[1])} + {n * BITS[i.type] // 8})'
            i.function.write(register, kind, value)
        return
    address = address_of(i, i.operands[1], space, bytes_)
    if len(registers) == 1:
        name = 'load_atomic' if ordered(i) else 'load'
        i.function.write(registers[0], kind, f'{name}<{element}>(self, {address}, {i.at})')
        return
    i.emit(f'{{ const auto values = load_vector<{element}, {len(registers)}>(self, {address}, {i.at});')
    for n, register in enumerate(registers):
        i.function.write(register, kind, f'values[{n}]')
    i.emit('}')


@instruction('st')
def store(i):
    space, registers = space_of(i), elements(i.operands[1])
    if i.has('b128'):
        i.unsupported()
    kind = 'b' + str(BITS[i.type])
    element = UNSIGNED[BITS[i.type]]
    address = address_of(i, i.operands[0], space, BITS[i.type] // 8 * len(registers))
    values = ', '.join(i.function.read(x, kind) for x in registers)
    if len(registers) == 1:
        name = 'store_atomic' if ordered(i) else 'store'
        i.emit(f'{name}<{element}>(self, {address}, {values}, {i.at});')
    else:
        i.emit(f'store_vector<{element}, {len(registers)}>(self, {address}, {{{values}}}, {i.at});')


CHANGES = {'min': 'minimum(old, x)', 'max': 'maximum(old, x)', 'and': 'old & x', 'or': 'old | x',
           'xor': 'old ^ x', 'exch': 'x', 'inc': '(old >= x ? 0 : old + 1)',
           'dec': '(old == 0 || old > x ? x : old - 1)', 'cas': '(old == x ? y : old)'}


@instruction('atom', 'red')
def atomic(i):
    change = i.one_of(('add', *CHANGES))
    if change is None or i.operands[-1].startswith('{') or i.has('b128', 'async'):
        i.unsupported()
    operands = i.operands if i.name == 'atom' else ['_'] + i.operands
    kind = cpp_type(i.type)
    expression = CHANGES.get(change) or ('add(old, x)' if i.type in FLOATS else
                                         f'{UNSIGNED[BITS[i.type]]}(old) + {UNSIGNED[BITS[i.type]]}(x)')
    order = next((ORDERS[m] for m in i.modifiers if m in ORDERS), '__ATOMIC_RELAXED')
    address = address_of(i, operands[1], space_of(i), BITS[i.type] // 8)
    i.emit(f'{{ const {kind} x = {i.function.read(operands[2], i.type)};')
    if change == 'cas':
        i.emit(f'const {kind} y = {i.function.read(operands[3], i.type)};')
    i.emit(f'const {kind} before = atomic<{kind}, {order}>(self, {address}, '
           f'[&]({kind} old) {{ return {kind}({expression}); }}, {i.at});')
    i.function.write(operands[0], i.type, 'before')
    i.emit('}')


@instruction('cp')
def copy(i):
    if i.modifiers[0] != 'async' or i.has('bulk', 'mbarrier', 'reduce'):
        i.unsupported()
    if i.has('commit_group'):
        return i.emit('commit_copies(self);')
    if i.has('wait_group'):
        return i.emit(f'async_wait(self, {i.read(0, "u32")});')
    if i.has('wait_all'):
        return i.emit('commit_copies(self); async_wait(self, 0);')
    bytes_ = int(i.operands[2], 0)
    taken = str(bytes_)
    if len(i.operands) > 3 and not (len(i.operands) == 4 and i.has('L2__cache_hint')):
        if i.function.width(i.operands[3].lstrip('!')) == 1:   # ignore-src
            taken = f'({i.read(3, "pred")} ? 0u : {bytes_}u)'
        else:
            taken = i.read(3, 'u32')
    to = address_of(i, i.operands[0], 'shared', bytes_)
    return i.emit(f'async_copy(self, {to}, {i.function.address(i.operands[1])}, {bytes_}, {taken}, {i.at});')


@instruction('cvta')
def convert_address(i):
    value = i.read(1)
    if i.has('shared'):
        value += (' - ' if i.has('to') else ' + ') + 'std::uint64_t(shared.base)'
    i.write(value)


@instruction('isspacep')
def is_space(i):
    inside = f'in_shared(shared, {i.read(1, "u64")})'
    i.function.write(i.destination, 'pred', inside if i.has('shared') else f'!{inside}')


@instruction('prefetch', 'prefetchu', 'discard', 'applypriority')
def hint(i):
    i.emit(';')
