"""What a warp does together: shuffles, votes, reductions, matrix instructions."""
import re

from translator.arithmetic import instruction
from translator.memory import address_of, space_of
from translator.ptx import BITS, UNSIGNED, elements

SHUFFLES = {'up': 'kUp', 'down': 'kDown', 'bfly': 'kButterfly', 'idx': 'kIndex'}
FACTORS = {'bf16': 'kBf16', 'f16': 'kF16', 'tf32': 'kTf32'}


@instruction('shfl')
def shuffle(i):
    if not i.has('sync'):
        i.unsupported()
    value, _, valid = i.destination.partition('|')
    operands = ', '.join(i.function.read(x, 'b32') for x in i.operands[1:])
    kind = SHUFFLES[i.one_of(SHUFFLES)]
    i.emit(f'{{ const Shuffled shuffled = shuffle(self, Shuffle::{kind}, {operands}, {i.at});')
    i.function.write(value, 'b32', 'shuffled.value')
    if valid:
        i.function.write(valid, 'pred', 'shuffled.valid')
    i.emit('}')


@instruction('vote')
def vote(i):
    if not i.has('sync'):
        i.unsupported()
    mask, ballot = i.read(2, 'b32'), f'ballot(self, {i.read(2, "b32")}, {i.read(1, "pred")}, {i.at})'
    if i.has('ballot'):
        return i.function.write(i.destination, 'b32', ballot)
    if i.has('any'):
        return i.function.write(i.destination, 'pred', f'{ballot} != 0')
    against = f'ballot(self, {mask}, !({i.read(1, "pred")}), {i.at})'
    if i.has('all'):
        return i.function.write(i.destination, 'pred', f'{against} == 0')
    i.unsupported()


@instruction('redux')
def redux(i):
    names = {'add': 'kAdd', 'and': 'kAnd', 'or': 'kOr', 'xor': 'kXor', 'min': 'kMin', 'max': 'kMax'}
    if i.type == 'f32':
        i.unsupported()
    name = i.one_of(names)
    kind = names[name] + ('Signed' if name in ('min', 'max') and i.type == 's32' else '')
    i.write(f'redux(self, Reduction::{kind}, {i.read(2, "b32")}, {i.read(1, "b32")}, {i.at})', 'b32')


@instruction('match')
def match(i):
    register, _, valid = i.destination.partition('|')
    all_ = 'true' if i.has('all') else 'false'
    value = f'match(self, {i.read(2, "b32")}, {i.read(1)}, {all_}, {i.at})'
    i.emit(f'{{ const std::uint32_t lanes = {value};')
    i.function.write(register, 'b32', 'lanes')
    if valid:
        i.function.write(valid, 'pred', 'lanes != 0')
    i.emit('}')


@instruction('elect')
def elect(i):
    register, _, chosen = i.destination.partition('|')
    i.emit(f'{{ const int leader = __builtin_ctz(ballot(self, {i.read(1, "b32")}, true, {i.at}));')
    i.function.write(register, 'b32', 'leader')
    i.function.write(chosen, 'pred', 'int(self.warp_lane) == leader')
    i.emit('}')


@instruction('mma')
def mma(i):
    shape = i.one_of([m for m in i.modifiers if re.fullmatch(r'm\d+n\d+k\d+', m)])
    types = i.types()
    depth = {'m16n8k4': 4, 'm16n8k8': 8, 'm16n8k16': 16}.get(shape)
    allowed = {4: ('tf32',), 8: tuple(FACTORS), 16: ('bf16', 'f16')}
    if (depth is None or len(types) != 4 or (types[0], types[3]) != ('f32', 'f32') or types[1] != types[2]
            or types[1] not in allowed[depth]):
        i.unsupported()
    to, a, b, c = (elements(x) for x in i.operands[:4])
    values = [', '.join(i.function.read(x, kind) for x in part)
              for part, kind in ((a, 'b32'), (b, 'b32'), (c, 'f32'))]
    i.emit(f'{{ MmaOperand operand{{{{{values[0]}}}, {{{values[1]}}}, {{{values[2]}}}}};')
    i.emit(f'mma<{depth}, Factor::{FACTORS[types[1]]}>(self, operand, {i.at});')
    for n, register in enumerate(to):
        i.function.write(register, 'f32', f'operand.d[{n}]')
    i.emit('}')


@instruction('ldmatrix')
def load_tiles(i):
    if not i.has('m8n8') or not i.has('b16'):
        i.unsupported()
    registers = elements(i.destination)
    transposed = 'true' if i.has('trans') else 'false'
    i.emit(f'{{ const auto tiles = load_tiles<{len(registers)}, {transposed}>'
           f'(self, shared, {shared_offset(i, i.operands[1])}, {i.at});')
    for n, register in enumerate(registers):
        i.function.write(register, 'b32', f'tiles[{n}]')
    i.emit('}')


@instruction('stmatrix')
def store_tiles(i):
    if not i.has('m8n8') or not i.has('b16'):
        i.unsupported()
    registers = elements(i.operands[1])
    transposed = 'true' if i.has('trans') else 'false'
    values = ', '.join(i.function.read(x, 'b32') for x in registers)
    i.emit(f'store_tiles<{len(registers)}, {transposed}>(self, shared, '
           f'{shared_offset(i, i.operands[0])}, {{{values}}}, {i.at});')


def shared_offset(i, operand):
    """Without .shared the address is generic."""
    address = i.function.address(operand)
    return address if space_of(i) == 'shared' else f'({address} - std::uint64_t(shared.base))'


@instruction('movmatrix')
def transpose_tile(i):
    i.write(f'transposed_tile(self, {i.read(1, "b32")}, {i.at})', 'b32')


@instruction('wmma')
def wmma(i):
    shape = next(m for m in i.modifiers if re.fullmatch(r'm\d+n\d+k\d+', m))
    rows, columns, depth = map(int, re.findall(r'\d+', shape))
    if depth != 16:
        i.unsupported()
    if i.modifiers[0] in ('load', 'store'):
        return wmma_move(i, rows, columns, depth)
    types = i.types()
    factor = types[1] if len(types) == 4 else 'f16'
    if factor not in ('bf16', 'f16') or types[0] != 'f32' or types[-1] != 'f32' or not i.has('row', 'col'):
        i.unsupported()
    to, a, b, c = (elements(x) for x in i.operands[:4])
    words = [', '.join(i.function.read(x, 'b32') for x in part) for part in (a, b)]
    i.emit(f'{{ std::uint32_t a[] = {{{words[0]}}}, b[] = {{{words[1]}}};')
    i.emit(f'float d[] = {{{", ".join(i.function.read(x, "f32") for x in c)}}};')
    i.emit('WmmaOperand operand{reinterpret_cast<const std::uint16_t*>(a), '
           'reinterpret_cast<const std::uint16_t*>(b), d};')
    i.emit(f'wmma<{rows}, {columns}, {depth}, Factor::{FACTORS[factor]}>(self, operand, {i.at});')
    for n, register in enumerate(to):
        i.function.write(register, 'f32', f'd[{n}]')
    return i.emit('}')


def wmma_move(i, rows, columns, depth):
    if i.type not in ('f16', 'bf16', 'f32'):
        i.unsupported()
    loads = i.modifiers[0] == 'load'
    part = next(m for m in i.modifiers[1:] if m in ('a', 'b', 'c', 'd'))
    height, width = {'a': (rows, depth), 'b': (depth, columns)}.get(part, (rows, columns))
    registers = elements(i.operands[0] if loads else i.operands[1])
    row_major = i.has('row')
    stride = i.read(2, 'u32') if len(i.operands) > 2 else str(width if row_major else height)
    address = address_of(i, i.operands[1 if loads else 0], space_of(i), 1)
    element = UNSIGNED[BITS[i.type]]
    place = f'{address}, {stride}, {"true" if row_major else "false"}, {i.at}'
    if loads:
        i.emit(f'{{ std::uint32_t words[{len(registers)}] = {{}};')
        i.emit(f'wmma_load<{element}, {height}, {width}>(self, reinterpret_cast<{element}*>(words), {place});')
        for n, register in enumerate(registers):
            i.function.write(register, 'b32', f'words[{n}]')
    else:
        i.emit(f'{{ const std::uint32_t words[] = {{{", ".join(i.function.read(x, "b32") for x in registers)}}};')
        i.emit(f'wmma_store<{element}, {height}, {width}>(self, reinterpret_cast<const {element}*>(words), {place});')
    i.emit('}')
