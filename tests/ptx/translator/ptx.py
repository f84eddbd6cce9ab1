"""What PTX is made of: its types, its statements, its declarations. Knows nothing of C++ but the names
that the types have there."""
import re

BITS = {'pred': 1, 'b8': 8, 'u8': 8, 's8': 8, 'b16': 16, 'u16': 16, 's16': 16, 'f16': 16, 'bf16': 16,
        'b32': 32, 'u32': 32, 's32': 32, 'f32': 32, 'f16x2': 32, 'bf16x2': 32, 'tf32': 32,
        'b64': 64, 'u64': 64, 's64': 64, 'f64': 64, 'b128': 128}
UNSIGNED = {1: 'bool', 8: 'std::uint8_t', 16: 'std::uint16_t', 32: 'std::uint32_t', 64: 'std::uint64_t'}
FLOATS = {'f32': 'float', 'f64': 'double', 'f16': 'F16', 'bf16': 'Bf16', 'f16x2': 'F16x2',
          'bf16x2': 'Bf16x2'}


def cpp_type(ptx_type):
    """The C++ type that a value of a PTX type computes in."""
    if ptx_type in FLOATS:
        return FLOATS[ptx_type]
    unsigned = UNSIGNED[BITS[ptx_type]]
    return unsigned.replace('uint', 'int') if ptx_type[0] == 's' else unsigned


class Unsupported(Exception):
    """An instruction or declaration that has no translation."""


class Declaration:
    """`.align 4 .b8 name[64]`, with or without parts; size and alignment in bytes."""
    PATTERN = re.compile(r'(?:\.align\s+(\d+)\s+)?\.(\w+)\s+'
                         r'(?:\.ptr\s*(?:\.(?!align)\w+\s*)*(?:\.align\s+\d+\s*)?)?'
                         r'([\w$%]+)\s*(\[(\d*)\])?')

    def __init__(self, text):
        match = self.PATTERN.match(text)
        if not match or match[2] not in BITS:
            raise Unsupported(f'declaration {text!r}')
        self.type, self.name = match[2], match[3]
        element = max(BITS[self.type] // 8, 1)
        self.elements = (int(match[5]) if match[5] else 0) if match[4] else 1
        self.bytes = element * self.elements
        self.alignment = int(match[1] or element)


def split_operands(text):
    """At commas outside brackets."""
    parts, depth, current = [], 0, ''
    for c in text:
        depth += (c in '{[(') - (c in '}])')
        if c == ',' and depth == 0:
            parts.append(current.strip())
            current = ''
        else:
            current += c
    if current.strip():
        parts.append(current.strip())
    return parts


def elements(operand):
    """The registers of `{a, b}`, or the operand alone."""
    operand = operand.strip()
    return split_operands(operand[1:-1]) if operand.startswith('{') else [operand]


def statements(body):
    """A function's body as a list of statements, '{', '}' and labels ('name:'); .loc lines too."""
    found, current, depth = [], '', 0
    for i, c in enumerate(body):
        if c in '{}' and depth == 0 and not current.strip():
            found.append(c)
            current = ''
        elif c == ';' and depth == 0:
            found.append(' '.join(current.split()))
            current = ''
        elif c == '\n' and current.lstrip().startswith(('.loc ', '.loc\t')):
            found.append(' '.join(current.split()))
            current = ''
        elif (c == ':' and re.fullmatch(r'\s*[\w$]+', current) and body[i + 1:i + 2] != ':'):
            found.append(current.strip() + ':')
            current = ''
        else:
            current += c
            depth += (c in '{[(') - (c in '}])')
    return found


def without_comments(text):
    return re.sub(r'//[^\n]*', '', re.sub(r'/\*.*?\*/', '', text, flags=re.S))


def top_level(text):
    """The text with the content of all braces left out."""
    depth, kept = 0, []
    for c in text:
        depth += c == '{'
        if depth == 0:
            kept.append(c)
        depth -= c == '}'
    return ''.join(kept)
