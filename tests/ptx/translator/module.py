"""A whole PTX file: its variables, functions and kernels, and the C++ file they become."""
import re

from translator import arithmetic, control, memory, warp  # noqa: F401: their handlers register
from translator.arithmetic import HANDLERS
from translator.function import Function, Instruction, cpp_name
from translator.ptx import (BITS, UNSIGNED, Declaration, Unsupported, split_operands, statements,
                            top_level, without_comments)

LINKAGE = r'(?:\.visible\s+|\.weak\s+|\.extern\s+|\.common\s+|\.noreturn\s+)*'
HEADER = re.compile(r'\.(entry|func)\s+(?:\.noreturn\s+)?(?:\(([^)]*)\)\s*)?([\w$]+)\s*(?:\(([^)]*)\))?'
                    r'([^{;]*)([{;])')
SHARED = re.compile(r'(\.extern\s+)?(?:\.weak\s+|\.visible\s+)?\.shared\s+([^;{]*);')
VARIABLE = re.compile(r'^' + LINKAGE + r'\.(?:global|const)\s+([^;=]*)(?:=\s*([^;]*))?;', re.M)


def aligned(offset, alignment):
    return (offset + alignment - 1) // alignment * alignment


class Signature:
    def __init__(self, match, text):
        self.kernel = match[1] == 'entry'
        self.name = match[3]
        self.results = [Declaration(x[len('.param'):].strip()) for x in split_operands(match[2] or '')]
        self.parameters = [Declaration(x[len('.param'):].strip()) for x in split_operands(match[4] or '')]
        threads = re.search(r'\.maxntid\s+([\d,\s]+)', match[5])
        self.max_threads = 1
        for extent in threads[1].split(',') if threads else ['0']:
            self.max_threads *= int(extent)
        self.body = None
        if match[6] == '{':
            end, depth = match.end(), 1
            while depth:
                depth += {'{': 1, '}': -1}.get(text[end], 0)
                end += 1
            self.body = text[match.end():end - 1]


class Module:
    def __init__(self, text, registers):
        self.files = dict(re.findall(r'^\s*\.file\s+(\d+)\s+"([^"]*)"', text, re.M))
        self.registers = registers              # of a kernel, as ptxas counts them
        self.text = without_comments(text)
        self.unsupported = []                   # (function, reason, statement)
        self.variables = {}                     # name -> bytes
        self.shared = {}                        # of the file: name -> declaration
        self.dynamic = {}                       # extern shared: name -> alignment
        self.read_shared(top_level(self.text), self.shared)
        self.signatures = [Signature(m, self.text) for m in HEADER.finditer(self.text)]
        self.functions = {s.name for s in self.signatures if not s.kernel}

    def read_shared(self, text, into):
        for match in SHARED.finditer(text):
            declaration = Declaration(match[2])
            if match[1]:
                self.dynamic[declaration.name] = declaration.alignment
            else:
                into[declaration.name] = declaration

    def cpp(self):
        lines = ['// Translated from PTX; see tests/ptx/README.md.', '#include "tests/ptx/instructions/all.h"',
                 'namespace lockstep::ptx {', 'namespace {']
        lines += [self.variable(match) for match in VARIABLE.finditer(self.text)]
        lines += [self.head(s) + ';' for s in self.signatures if not s.kernel and s.name in self.functions
                  and s.body is not None]
        registered = []
        for signature in self.signatures:
            if signature.body is not None:
                lines += self.function(signature, registered)
        lines += ['const bool registered = [] {'] + registered
        lines += [f'add_variable("{name}", {{variable_{cpp_name(name)}, {bytes_}}});'
                  for name, bytes_ in self.variables.items()]
        lines += ['return true;', '}();', '}', '}']
        return '\n'.join(lines) + '\n'

    def variable(self, match):
        declaration = Declaration(match[1])
        self.variables[declaration.name] = declaration.bytes
        kind = UNSIGNED[max(BITS[declaration.type], 8)]
        values = []
        for value in split_operands((match[2] or '').strip().strip('{}')):
            if re.fullmatch(r'-?\d+U?|0[xX][0-9a-fA-F]+', value):
                values.append(f'{kind}({value.rstrip("U")})')
            elif re.fullmatch(r'0[fFdD][0-9a-fA-F]+', value):
                values.append(f'{kind}(0x{value[2:]})')
            elif (name := re.fullmatch(r'(?:generic\()?([\w$]+)\)?', value)) and name[1] in self.variables:
                values.append(f'{kind}(&variable_{cpp_name(name[1])}[0])')
            else:
                raise Unsupported(f'initial value {value} of {declaration.name}')
        initial = f' = {{{", ".join(values)}}}' if values else ' = {}'
        return (f'alignas({max(declaration.alignment, 16)}) {kind} '
                f'variable_{cpp_name(declaration.name)}[{max(1, declaration.elements)}]{initial};')

    @staticmethod
    def head(signature):
        if signature.kernel:
            return f'void kernel_{cpp_name(signature.name)}(Thread& self)'
        arguments = ['Thread& self'] + [f'std::uint8_t* {cpp_name(p.name)}'
                                        for p in signature.results + signature.parameters]
        return f'void function_{cpp_name(signature.name)}({", ".join(arguments)})'

    def place_shared(self, function, signature):
        """Static shared memory: what functions of the file use at fixed places, then the kernel's own,
        then dynamic memory. Returns the bytes of the static part."""
        own = {}
        self.read_shared(signature.body, own)
        by_functions = ''.join(s.body for s in self.signatures if not s.kernel and s.body)
        calls = not signature.kernel or re.search(r'\bcall\b', signature.body)
        offset = 0
        for name, declaration in self.shared.items():
            if re.search(re.escape(name) + r'(?![\w$])', by_functions) and calls:
                function.shared[name] = offset = aligned(offset, declaration.alignment)
                offset += declaration.bytes
            elif re.search(re.escape(name) + r'(?![\w$])', signature.body):
                own[name] = declaration
        for name, declaration in own.items():
            function.shared[name] = offset = aligned(offset, declaration.alignment)
            offset += declaration.bytes
        for name, alignment in self.dynamic.items():
            if re.search(re.escape(name) + r'(?![\w$])', signature.body):
                if not signature.kernel:
                    raise Unsupported(f'dynamic shared memory {name} in a function that is not inlined')
                offset = aligned(offset, max(16, alignment))
                function.shared[name] = offset
        return offset

    def function(self, signature, registered):
        function = Function(self, signature.name)
        offset, offsets = 0, []
        for parameter in signature.results + signature.parameters:
            if signature.kernel:
                offset = aligned(offset, parameter.alignment)
                function.parameters[parameter.name] = offset
                offsets.append(offset)
                offset += parameter.bytes
            else:
                function.scopes[0]['&' + parameter.name] = parameter.bytes
        static, declared = 0, []
        statement = ''
        try:
            static = self.place_shared(function, signature)
            parts = statements(signature.body)
            labels = find_labels(parts)
            scope_number = 0
            function.labels = [labels[0]]
            source_line = ''
            for statement in parts:
                if statement == '{':
                    scope_number += 1
                    function.scopes.append({})
                    function.labels.append(labels[scope_number])
                    function.emit('{')
                elif statement == '}':
                    function.scopes.pop()
                    function.labels.pop()
                    function.emit('}')
                elif statement.endswith(':'):
                    function.emit(f'{function.label(statement[:-1])}: ;')
                elif statement.startswith('.loc '):
                    source_line = self.source_line(statement, function)
                elif statement.startswith('.reg'):
                    self.declare_registers(statement, function, declared, signature.body)
                elif statement.startswith(('.param', '.local')):
                    local = Declaration(statement[len('.param'):].strip())
                    function.scopes[-1]['&' + local.name] = local.bytes
                    lines = declared if len(function.scopes) == 1 else function.lines
                    lines.append(f'alignas({max(16, local.alignment)}) std::uint8_t '
                                 f'{cpp_name(local.name)}[{max(local.bytes, 1)}];')
                elif statement and not statement.startswith('.'):
                    self.instruction(function, statement, source_line)
        except (Unsupported, KeyError, ValueError, IndexError) as reason:
            self.unsupported.append((signature.name, str(reason) or repr(reason), statement))
            message = f'not translated, for want of {reason}; {statement}'.replace('\\', '').replace('"', "'")
            function.lines, declared = [f'fail(self, "{statement}", "{message}");'.replace('\n', ' ')], []
        if signature.kernel:
            registered.append(self.registration(signature, offset, offsets, static))
        start = ['const SharedMemory shared = self.place->shared;', 'unsigned carry = 0;']
        if signature.kernel:
            start.append('const std::uint8_t* const parameters = self.place->parameters;')
        return [self.head(signature) + ' {'] + start + declared + function.lines + ['}']

    def instruction(self, function, statement, source_line):
        instruction = Instruction(function, statement, source_line)
        handler = HANDLERS.get(instruction.name)
        if handler is None:
            instruction.unsupported()
        if instruction.guard:
            function.emit(f'if ({instruction.guard}) {{')
        handler(instruction)
        if instruction.guard:
            function.emit('}')

    def source_line(self, statement, function):
        match = re.match(r'\.loc\s+(\d+)\s+(\d+)', statement)
        path = self.files.get(match[1], '')
        if path and int(match[2]) > 0:
            function.emit(f'#line {match[2]} "{path}"')
        return f'{path.rsplit("/", 1)[-1]}:{match[2]}'

    @staticmethod
    def declare_registers(statement, function, declared, body):
        match = re.match(r'\.reg\s+\.(\w+)\s+(.*)', statement)
        width = BITS[match[1]]
        if width not in UNSIGNED:
            raise Unsupported('.' + match[1])
        for register in match[2].split(','):
            register = register.strip()
            family = re.match(r'(%[A-Za-z_]+)<\d+>', register)
            if family:
                function.register_widths[family[1]] = width
                names = sorted(set(re.findall(re.escape(family[1]) + r'\d+\b', body)))
                declared += [f'{UNSIGNED[width]} {cpp_name(name)};' for name in names]
            else:
                function.scopes[-1][register] = width
                lines = declared if len(function.scopes) == 1 else function.lines
                lines.append(f'{UNSIGNED[width]} {cpp_name(register)};')

    def registration(self, signature, parameter_bytes, offsets, static):
        sizes = ', '.join(str(p.bytes) for p in signature.parameters)
        return (f'add_kernel({{"{signature.name}", {parameter_bytes}, {{{", ".join(map(str, offsets))}}}, '
                f'{{{sizes}}}, {static}, {self.registers.get(signature.name, 0)}, {signature.max_threads}, '
                f'kernel_{cpp_name(signature.name)}}});')


def find_labels(parts):
    """For each pair of braces, in the order of their opening: its labels and their names in C++, where
    labels are known throughout a function."""
    tables, open_scopes = [{}], [0]
    for part in parts:
        if part == '{':
            open_scopes.append(len(tables))
            tables.append({})
        elif part == '}':
            open_scopes.pop()
        elif part.endswith(':'):
            scope = open_scopes[-1]
            tables[scope][part[:-1]] = cpp_name(part[:-1]) + (str(scope) if scope else '')
    return tables
