"""Arithmetic, logic, comparisons and conversions."""
from translator.ptx import BITS, FLOATS, UNSIGNED, cpp_type, elements

HANDLERS = {}


def instruction(*names):
    def register(handler):
        for name in names:
            HANDLERS[name] = handler
        return handler
    return register


FLOAT_NAMES = {'add': 'add', 'sub': 'subtract', 'mul': 'multiply'}
SYMBOLS = {'add': '+', 'sub': '-', 'mul': '*', 'div': '/'}


@instruction('add', 'sub')
def add(i):
    if i.type in FLOATS:
        return float_arithmetic(i)
    if i.has('cc'):
        return carried(i)
    unsigned = UNSIGNED[BITS[i.type]]
    if i.has('sat'):
        sum_ = f'Wide({i.read(1)}) {SYMBOLS[i.name]} Wide({i.read(2)})'
        return i.write(f'saturated<{cpp_type(i.type)}>({sum_})')
    if BITS[i.type] == 32 and i.type.endswith('x2'):
        i.unsupported()
    return i.write(f'{unsigned}({unsigned}({i.read(1)}) {SYMBOLS[i.name]} {unsigned}({i.read(2)}))')


def float_arithmetic(i):
    x, y = i.read(1), i.read(2)
    if i.type == 'f32' and i.has('rm', 'rp', 'rz'):
        return i.write(f'rounded(double({x}) {SYMBOLS[i.name]} double({y}), {i.rounding()})')
    if i.type == 'f64' and i.has('rm', 'rp', 'rz'):
        i.unsupported()
    if i.type in ('f32', 'f64'):
        return i.write(f'{x} {SYMBOLS[i.name]} {y}')
    if i.name == 'div':
        i.unsupported()
    return i.write(f'{FLOAT_NAMES[i.name]}({x}, {y})')


@instruction('addc', 'subc', 'madc')
def carried(i):
    """With carry in (addc) and out (.cc); subtraction adds the complement."""
    bits, word = BITS[i.type], UNSIGNED[BITS[i.type]]
    x, y = f'UnsignedWide({word}({i.read(1)}))', f'{word}({i.read(2)})'
    if i.name.startswith('mad'):
        shift = f' >> {bits}' if i.has('hi') else ''
        product = f'{x} * {y}'
        if i.has('hi') and i.type[0] == 's':
            product = f'UnsignedWide(Wide({i.read(1)}) * Wide({i.read(2)}))'
        total = f'UnsignedWide({word}(({product}){shift})) + {word}({i.read(3)})'
    elif i.name.startswith('add'):
        total = f'{x} + {y}'
    else:
        total = f'{x} + {word}(~{y})' + (' + 1' if i.name == 'sub' else '')
    if i.name.endswith('c'):
        total += ' + carry'
    i.emit(f'{{ const UnsignedWide total = {total};')
    if i.has('cc'):
        i.emit(f'carry = total >> {bits} & 1;')
    i.write(f'{word}(total)', 'b' + str(bits))
    i.emit('}')


@instruction('mul', 'mad', 'mul24', 'mad24')
def multiply(i):
    if i.type in FLOATS:
        return fused(i) if i.name == 'mad' else float_arithmetic(i)
    if i.has('cc'):
        return carried(i)
    x, y, bits = i.read(1), i.read(2), BITS[i.type]
    plus = i.name.startswith('mad')
    if i.has('wide'):
        wide = ('s' if i.type[0] == 's' else 'u') + str(2 * bits)
        kind, unsigned = cpp_type(wide), UNSIGNED[2 * bits]
        product = f'{unsigned}({kind}({x}) * {kind}({y}))'
        return i.write(product + (f' + {unsigned}({i.read(3, wide)})' if plus else ''), wide)
    unsigned = UNSIGNED[max(bits, 32)]
    if i.has('hi'):
        product = f'{unsigned}(high_product<{cpp_type(i.type)}>({x}, {y}))'
    else:
        product = f'{unsigned}({x}) * {unsigned}({y})'
    return i.write(product + (f' + {unsigned}({i.read(3)})' if plus else ''))


@instruction('div', 'rem')
def divide(i):
    if i.type in FLOATS:
        return float_arithmetic(i)
    name = 'divide' if i.name == 'div' else 'remainder'
    return i.write(f'{name}<{cpp_type(i.type)}>({i.read(1)}, {i.read(2)})')


@instruction('fma')
def fused(i):
    x, y, z = i.read(1), i.read(2), i.read(3)
    if i.has('rm', 'rp', 'rz'):
        if i.type != 'f32':
            i.unsupported()
        return i.write(f'rounded(double({x}) * double({y}) + double({z}), {i.rounding()})')
    value = f'fused({x}, {y}, {z})'
    return i.write(f'relu({value})' if i.has('relu') else value)


@instruction('and', 'or', 'xor')
def logic(i):
    i.write(f'{i.read(1)} {dict(zip(("and", "or", "xor"), "&|^"))[i.name]} {i.read(2)}')


@instruction('not', 'cnot')
def complement(i):
    if i.name == 'cnot':
        return i.write(f'{i.read(1)} == 0')
    return i.write(f'!{i.read(1)}' if i.type == 'pred' else f'~{i.read(1)}')


@instruction('neg')
def negate(i):
    unsigned = UNSIGNED[BITS[i.type]]
    i.write(f'negated({i.read(1)})' if i.type in FLOATS else f'{unsigned}(0) - {unsigned}({i.read(1)})')


@instruction('abs')
def absolute(i):
    i.write(f'magnitude({i.read(1)})')


@instruction('min', 'max')
def extremes(i):
    if i.type.endswith('x2') and i.type not in FLOATS or i.has('xorsign'):
        i.unsupported()
    name = {'min': 'minimum', 'max': 'maximum'}[i.name] + ('_nan' if i.has('NaN') else '')
    value = i.read(1)
    for number in range(2, len(i.operands)):
        value = f'{name}<{cpp_type(i.type)}>({value}, {i.read(number)})'
    i.write(f'relu({value})' if i.has('relu') else value)


@instruction('shl')
def shift_left(i):
    i.write(f'shift_left<{UNSIGNED[BITS[i.type]]}>({i.read(1)}, {i.read(2, "u32")})')


@instruction('shr')
def shift_right(i):
    i.write(f'shift_right<{cpp_type(i.type)}>({i.read(1)}, {i.read(2, "u32")})')


@instruction('shf')
def funnel(i):
    by = i.read(3, 'u32')
    by = f'{by} & 31' if i.has('wrap') else f'std::min(32u, {by})'
    name = 'funnel_left' if i.has('l') else 'funnel_right'
    i.write(f'{name}({i.read(1)}, {i.read(2)}, {by})')


@instruction('lop3')
def lop3(i):
    if '|' in i.destination or i.has('or', 'and'):
        i.unsupported()
    i.write(f'lop3<{int(i.operands[4], 0)}u>({i.read(1)}, {i.read(2)}, {i.read(3)})')


@instruction('prmt')
def permute(i):
    if i.has('f4e', 'b4e', 'rc8', 'ecl', 'ecr', 'rc16'):
        i.unsupported()
    i.write(f'prmt({i.read(1, "u32")}, {i.read(2, "u32")}, {i.read(3, "u32")})', 'u32')


@instruction('bfe')
def extract(i):
    i.write(f'extract_bits<{cpp_type(i.type)}>({i.read(1)}, {i.read(2, "u32")}, {i.read(3, "u32")})')


@instruction('bfi')
def insert(i):
    i.write(f'insert_bits<{UNSIGNED[BITS[i.type]]}>({i.read(1)}, {i.read(2)}, {i.read(3, "u32")}, '
            f'{i.read(4, "u32")})')


@instruction('bmsk')
def mask(i):
    i.write(f'insert_bits<std::uint32_t>(~0u, 0u, {i.read(1, "u32")}, {i.read(2, "u32")})', 'b32')


@instruction('popc')
def count_ones(i):
    i.write(f'__builtin_popcountll({i.read(1)})', 'u32')


@instruction('clz')
def leading_zeros(i):
    i.write(f'leading_zeros<{UNSIGNED[BITS[i.type]]}>({i.read(1)})', 'u32')


@instruction('brev')
def reverse(i):
    i.write(f'reversed<{UNSIGNED[BITS[i.type]]}>({i.read(1)})')


@instruction('bfind')
def find_bit(i):
    shift = 'true' if i.has('shiftamt') else 'false'
    i.write(f'highest_bit<{cpp_type(i.type)}>({i.read(1)}, {shift})', 'u32')


@instruction('dp4a')
def dot(i):
    a, b = ('std::int8_t' if t == 's32' else 'std::uint8_t' for t in i.types())
    i.write(f'dot_bytes<{a}, {b}>({i.read(1, "b32")}, {i.read(2, "b32")}, {i.read(3, "b32")})', 'b32')


@instruction('sad')
def distance(i):
    i.write(f'({i.read(1)} > {i.read(2)} ? {i.read(1)} - {i.read(2)} : {i.read(2)} - {i.read(1)}) + {i.read(3)}')


@instruction('selp')
def select(i):
    kind = 'b' + str(BITS[i.type])
    i.write(f'{i.read(3, "pred")} ? {i.function.read(i.operands[1], kind)} : '
            f'{i.function.read(i.operands[2], kind)}', kind)


@instruction('slct')
def select_by_sign(i):
    kind = i.types()[0]
    i.write(f'{i.read(3)} >= 0 ? {i.read(1, kind)} : {i.read(2, kind)}', kind)


OPERATORS = {'eq': '==', 'ne': '!=', 'lt': '<', 'le': '<=', 'gt': '>', 'ge': '>=', 'lo': '<', 'ls': '<=',
             'hi': '>', 'hs': '>='}
JOINS = {'and': '&', 'or': '|', 'xor': '^'}


def comparison(i, name, x, y):
    if name == 'num':
        return f'ordered({x}, {y})'
    if name == 'nan':
        return f'!ordered({x}, {y})'
    if i.type in ('f16', 'bf16'):
        plain = f'(float({x}) {{}} float({y}))'
    elif i.type.endswith('x2'):
        i.unsupported()
    else:
        plain = f'({x} {{}} {y})'
    if name in OPERATORS:
        if i.type in FLOATS and name == 'ne':
            return f'(ordered({x}, {y}) && {plain.format("!=")})'
        return plain.format(OPERATORS[name])
    if name[:2] in OPERATORS and name.endswith('u'):
        return f'(!ordered({x}, {y}) || {plain.format(OPERATORS[name[:2]])})'
    return i.unsupported()


@instruction('setp', 'set')
def compare(i):
    result = comparison(i, i.modifiers[0], i.read(1), i.read(2))
    join = JOINS.get(i.one_of(JOINS))
    if i.name == 'set':
        if join:
            i.unsupported()
        kind = i.types()[0]
        return i.function.write(i.destination, kind, f'{result} ? {"1.0f" if kind == "f32" else "~0u"} : 0')
    yes, _, no = i.destination.partition('|')
    i.emit(f'{{ const bool holds = {result};' + (f' const bool other = {i.read(3, "pred")};' if join else ''))
    i.function.write(yes, 'pred', f'holds {join} other' if join else 'holds')
    if no:
        i.function.write(no, 'pred', f'!holds {join} other' if join else '!holds')
    return i.emit('}')


@instruction('testp')
def test(i):
    x = i.read(1)
    tests = {'finite': f'std::isfinite({x})', 'infinite': f'std::isinf({x})', 'number': f'!is_nan({x})',
             'notanumber': f'is_nan({x})', 'normal': f'std::isnormal({x})',
             'subnormal': f'(std::fpclassify({x}) == FP_SUBNORMAL)'}
    i.write(tests[i.modifiers[0]], 'pred')


@instruction('copysign')
def copy_sign(i):
    i.write(f'std::copysign({i.read(2)}, {i.read(1)})')


FUNCTIONS = {'ex2': 'ex2', 'lg2': 'lg2', 'rcp': 'rcp', 'rsqrt': 'rsqrt', 'sqrt': 'square_root',
             'sin': 'sine', 'cos': 'cosine', 'tanh': 'tanh'}


@instruction(*FUNCTIONS)
def function_of_one(i):
    if i.has('rm', 'rp', 'rz'):
        i.unsupported()
    i.write(f'{FUNCTIONS[i.name]}({i.read(1)})')


@instruction('mov')
def move(i):
    to, source = elements(i.destination), elements(i.operands[1])
    bits = BITS[i.type]
    if len(to) == 1 and len(source) == 1:
        kind = i.type if i.type == 'pred' else 'b' + str(bits)
        i.function.write(to[0], kind, i.function.read(source[0], kind))
    elif len(to) == 1:
        part = bits // len(source)
        terms = [f'std::uint64_t({i.function.read(x, f"b{part}")}) << {n * part}' for n, x in enumerate(source)]
        i.function.write(to[0], f'b{bits}', ' | '.join(terms))
    else:
        part = bits // len(to)
        i.emit(f'{{ const std::uint64_t whole = {i.function.read(source[0], f"b{bits}")};')
        for n, register in enumerate(to):
            i.function.write(register, f'b{part}', f'whole >> {n * part}')
        i.emit('}')


@instruction('createpolicy')
def cache_policy(i):
    i.function.write(i.destination, 'b64', '0')


@instruction('cvt')
def convert(i):
    to, source = i.types()[:2]
    rounding = i.rounding()
    relu = 'relu' if i.has('relu') else ''
    if to in ('f16x2', 'bf16x2'):
        half = FLOATS[to[:-2]]
        parts = ', '.join(f'to_float<{half}>({i.read(n, "f32")}, {rounding})' for n in (2, 1))
        return i.function.write(i.destination, to, f'{relu}({FLOATS[to]}{{{parts}}})')
    if to == 'tf32':
        if i.has('rn', 'rz'):
            i.unsupported()
        return i.function.write(i.destination, 'b32', f'to_tf32({i.read(1, "f32")})')
    value = i.function.read(i.operands[1], source)
    if i.has('ftz') and source == 'f32':
        value = f'flushed({value})'
    integral = i.has('rni', 'rzi', 'rmi', 'rpi')
    if source in FLOATS and to not in FLOATS:
        rounding = rounding if integral else 'Rounding::kZero'
        return i.function.write(i.destination, to, f'to_integer<{cpp_type(to)}>(double({value}), {rounding})')
    if to in FLOATS:
        if source in FLOATS and integral:
            value = f'{cpp_type(to)}(to_integral(double({value}), {rounding}))' if to in ('f32', 'f64') else \
                f'{cpp_type(to)}(float(to_integral(double({value}), {rounding})))'
        else:
            value = f'to_float<{cpp_type(to)}>({value}, {rounding})'
        if i.has('sat'):
            value = f'unit({value})'
        if i.has('ftz') and to == 'f32':
            value = f'flushed({value})'
        return i.function.write(i.destination, to, f'{relu}({value})')
    if i.has('sat'):
        value = f'saturated<{cpp_type(to)}>({value})'
    return i.function.write(i.destination, to, value)
