"""One PTX function on its way to C++: its registers, its operands as C++ expressions, its lines."""
import re

from translator.ptx import BITS, FLOATS, UNSIGNED, Unsupported, cpp_type

SPECIAL = {
    '%laneid': 'self.warp_lane', '%warpid': '(self.number / 32)', '%WARP_SZ': '32', 'WARP_SZ': '32',
    '%smid': '0', '%nsmid': '1', '%clock': '0', '%clock64': '0', '%globaltimer': '0',
    '%nwarpid': '32', '%gridid': '0', '%clock_hi': '0', '%globaltimer_lo': '0', '%globaltimer_hi': '0',
    '%lanemask_eq': '(1u << self.warp_lane)', '%lanemask_lt': '((1u << self.warp_lane) - 1)',
    '%lanemask_le': '((2ull << self.warp_lane) - 1)', '%lanemask_gt': '~((2ull << self.warp_lane) - 1)',
    '%lanemask_ge': '~((1ull << self.warp_lane) - 1)',
    '%dynamic_smem_size': 'self.place->dynamic_shared', '%total_smem_size': 'shared.bytes',
    '%cluster_ctarank': '0', '%cluster_nctarank': '1', '%is_explicit_cluster': '0'}
for axis in 'xyz':
    SPECIAL[f'%tid.{axis}'] = f'self.index.{axis}'
    SPECIAL[f'%ntid.{axis}'] = f'self.place->extent.{axis}'
    SPECIAL[f'%ctaid.{axis}'] = f'self.place->index.{axis}'
    SPECIAL[f'%nctaid.{axis}'] = f'self.place->grid.{axis}'


def cpp_name(name):
    """Registers lose their %, other names get a _ so that they hide nothing of ours."""
    clean = re.sub(r'[^A-Za-z0-9_]', '_', name.lstrip('%'))
    return 'r_' + clean if name.startswith('%') else clean + '_'


def literal(value, ptx_type):
    width = max(BITS[ptx_type], 8)
    if ptx_type == 'pred':
        return 'true' if value else 'false'
    text = f'{UNSIGNED[width]}(0x{value & ((1 << width) - 1):x}ull)'
    return f'as<{cpp_type(ptx_type)}>({text})' if ptx_type in FLOATS else f'{cpp_type(ptx_type)}({text})'


class Function:
    def __init__(self, module, name):
        self.module, self.name = module, name
        self.lines = []
        self.register_widths = {}   # of a family: '%r' -> 32
        self.scopes = [{}]          # of braces: register -> width, '&name' -> bytes of a local
        self.labels = [{}]          # of braces: label -> its C++ name
        self.parameters = {}        # of a kernel: name -> offset
        self.shared = {}            # name -> offset

    def emit(self, line):
        self.lines.append(line)

    def width(self, register):
        for scope in reversed(self.scopes):
            if register in scope:
                return scope[register]
        family = re.match(r'(%[A-Za-z_]+)\d+$', register)
        return self.register_widths.get(family[1]) if family else None

    def label(self, name):
        for scope in reversed(self.labels):
            if name in scope:
                return scope[name]
        raise Unsupported(f'label {name}')

    def read(self, operand, ptx_type):
        """A C++ expression of the operand's value as a PTX type."""
        operand = operand.strip()
        kind = cpp_type(ptx_type)
        if operand.startswith('!'):
            return f'!({self.read(operand[1:], ptx_type)})'
        if operand in SPECIAL:
            return f'{kind}({SPECIAL[operand]})'
        number = self.number(operand, ptx_type)
        if number:
            return number
        width = self.width(operand)
        if width is None:
            return f'{kind}({self.symbol(operand)})'
        name = cpp_name(operand)
        if ptx_type in FLOATS:
            cast = name if width == BITS[ptx_type] else f'{UNSIGNED[BITS[ptx_type]]}({name})'
            return f'as<{kind}>({cast})'
        return name if UNSIGNED[width] == kind else f'{kind}({name})'

    @staticmethod
    def number(operand, ptx_type):
        match = re.fullmatch(r'0[fF]([0-9a-fA-F]{8})', operand)
        if match:
            return f'as<float>(0x{match[1]}u)' if ptx_type == 'f32' else f'0x{match[1]}u'
        match = re.fullmatch(r'0[dD]([0-9a-fA-F]{16})', operand)
        if match:
            return f'as<double>(0x{match[1]}ull)' if ptx_type == 'f64' else f'0x{match[1]}ull'
        match = re.fullmatch(r'(-?)(0[xX][0-9a-fA-F]+|0[bB][01]+|\d+)U?', operand)
        if not match:
            return None
        octal = re.fullmatch(r'0\d+', match[2])
        value = int(match[2], 8) if octal else int(match[2], 0)
        return literal(-value if match[1] else value, ptx_type)

    def symbol(self, operand):
        """The address of `name` or `name+offset`; of shared memory, the offset there."""
        match = re.fullmatch(r'([A-Za-z_$.%][\w$.%]*)(?:\s*\+\s*(-?\d+))?', operand)
        if not match:
            raise Unsupported(f'operand {operand!r}')
        name, offset = match[1], int(match[2] or 0)
        for scope in reversed(self.scopes):
            if '&' + name in scope:
                return f'(std::uint64_t({cpp_name(name)}) + {offset})'
        if name in self.parameters:
            return f'(std::uint64_t(parameters) + {self.parameters[name] + offset})'
        if name in self.shared:
            return f'{self.shared[name] + offset}'
        if name in self.module.variables:
            return f'(std::uint64_t(&variable_{cpp_name(name)}[0]) + {offset})'
        raise Unsupported(f'symbol {name}')

    def address(self, operand):
        """The address in brackets, before its space is considered."""
        inner = re.fullmatch(r'\[\s*(.*?)\s*\]', operand)
        match = inner and re.fullmatch(r'(%?[\w$.]+)\s*(?:\+\s*(-?(?:0[xX])?[0-9a-fA-F]+))?', inner[1])
        if not match:
            raise Unsupported(f'address {operand!r}')
        base, offset = match[1], int(match[2] or '0', 0)
        if re.fullmatch(r'\d+', base):
            return base
        width = self.width(base)
        if width is None:
            return f'({self.symbol(base)} + {offset})' if offset else self.symbol(base)
        name = cpp_name(base)
        if width == 32:
            return f'std::uint64_t(std::uint32_t({name} + {offset}))'
        return f'({name} + {offset}ll)' if offset else name

    def write(self, register, ptx_type, expression):
        """Emits the assignment of a C++ expression of a PTX type to a register, extended by its sign."""
        register = register.strip()
        if register == '_':
            self.emit(f'(void)({expression});')
            return
        width = self.width(register)
        if width is None:
            raise Unsupported(f'register {register}')
        kind = cpp_type(ptx_type)
        if ptx_type in FLOATS:
            self.emit(f'{cpp_name(register)} = bits<{kind}>({expression});')
        elif kind == UNSIGNED[width]:
            self.emit(f'{cpp_name(register)} = {kind}({expression});')
        else:
            self.emit(f'{cpp_name(register)} = {UNSIGNED[width]}({kind}({expression}));')


class Instruction:
    """One instruction, taken apart; handlers (translator/arithmetic.py and its neighbours) emit its C++."""
    PATTERN = re.compile(r'(?:@(!?)(%?[\w$]+)\s+)?([a-z][\w.:]*)\s*(.*)', re.S)

    def __init__(self, function, text, source_line):
        match = self.PATTERN.fullmatch(text)
        if not match:
            raise Unsupported('syntax')
        self.function = function
        self.guard = ('!' if match[1] else '') + cpp_name(match[2]) if match[2] else None
        self.name, *self.modifiers = match[3].replace('::', '__').split('.')
        self.rest = match[4].strip()
        self.operands = split = [] if not self.rest else self._split(self.rest)
        self.type = next((m for m in reversed(self.modifiers) if m in BITS), None)
        place = f'  ({source_line})' if source_line else ''
        self.at = '"' + (text + place).replace('\\', '\\\\').replace('"', '\\"') + '"'
        self.ftz = 'ftz' in self.modifiers and self.type == 'f32'
        self.destination = split[0] if split else None

    @staticmethod
    def _split(text):
        from translator.ptx import split_operands
        return split_operands(text)

    def has(self, *modifiers):
        return any(m in self.modifiers for m in modifiers)

    def one_of(self, choices):
        """The first modifier that is in choices, or None."""
        return next((m for m in self.modifiers if m in choices), None)

    def types(self):
        return [m for m in self.modifiers if m in BITS]

    def read(self, number, ptx_type=None):
        value = self.function.read(self.operands[number], ptx_type or self.type)
        return f'flushed({value})' if self.ftz and (ptx_type or self.type) == 'f32' else value

    def write(self, expression, ptx_type=None, to=None):
        ptx_type = ptx_type or self.type
        if self.has('sat') and ptx_type in FLOATS:
            expression = f'unit<{cpp_type(ptx_type)}>({expression})'
        if self.ftz and ptx_type == 'f32':
            expression = f'flushed({expression})'
        self.function.write(to or self.destination, ptx_type, expression)

    def emit(self, line):
        self.function.emit(line)

    def unsupported(self):
        raise Unsupported('.'.join([self.name] + self.modifiers))

    def rounding(self):
        names = {'rm': 'kDown', 'rp': 'kUp', 'rz': 'kZero', 'rmi': 'kDown', 'rpi': 'kUp', 'rzi': 'kZero'}
        return 'Rounding::' + names.get(self.one_of(list(names) + ['rn', 'rni']), 'kNearest')
