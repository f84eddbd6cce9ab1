#!/usr/bin/env python3
"""ptx2cpp: turns PTX (as nvcc writes it) into C++ that runs on the CPU: one C++ function per kernel,
every PTX register an unsigned integer of its width, one fiber per CUDA thread (simt.h) for barriers,
shuffles and mma.  Usage: ptx2cpp.py in.ptx > out.cpp"""
import re, sys

W = {'pred': 1, 'b8': 8, 'u8': 8, 's8': 8, 'b16': 16, 'u16': 16, 's16': 16, 'f16': 16, 'bf16': 16, 'b32': 32, 'u32': 32, 's32': 32,
     'f32': 32, 'f16x2': 32, 'bf16x2': 32, 'tf32': 32, 'b64': 64, 'u64': 64, 's64': 64, 'f64': 64, 'f32x2': 64, 'b128': 128}
CT = {'pred': 'bool', 'b8': 'uint8_t', 'u8': 'uint8_t', 's8': 'int8_t', 'b16': 'uint16_t', 'u16': 'uint16_t', 's16': 'int16_t', 'b32': 'uint32_t',
      'u32': 'uint32_t', 's32': 'int32_t', 'b64': 'uint64_t', 'u64': 'uint64_t', 's64': 'int64_t', 'f32': 'float', 'f64': 'double', 'f16': 'ptx::f16', 'bf16': 'ptx::bf16',
      'f16x2': 'ptx::f16x2', 'bf16x2': 'ptx::bf16x2', 'tf32': 'uint32_t', 'f32x2': 'ptx::f32x2'}
UT = {1: 'bool', 8: 'uint8_t', 16: 'uint16_t', 32: 'uint32_t', 64: 'uint64_t'}
FLOATS = {'f32', 'f64', 'f16', 'bf16', 'f16x2', 'bf16x2', 'f32x2'}
SREG = {'%laneid': '(uint32_t)simt::lane()', '%warpid': '(uint32_t)(simt::B->cur->lin >> 5)', '%WARP_SZ': '32u', 'WARP_SZ': '32u', '%smid': '0u', '%nsmid': '1u', '%clock': '0u', '%clock64': '0ull', '%globaltimer': '0ull',
        '%cluster_ctarank': '0u', '%lanemask_lt': '((1u << simt::lane()) - 1)', '%lanemask_le': '(uint32_t)((2ull << simt::lane()) - 1)', '%lanemask_eq': '(1u << simt::lane())',
        '%lanemask_gt': '(uint32_t)~((2ull << simt::lane()) - 1)', '%lanemask_ge': '(uint32_t)~((1ull << simt::lane()) - 1)',
        '%dynamic_smem_size': '(uint32_t)ptx::dyn_size', '%total_smem_size': '(uint32_t)ptx::smem_size'}
for a, b in (('tid', 'threadIdx'), ('ntid', 'blockDim'), ('ctaid', 'blockIdx'), ('nctaid', 'gridDim')):
    for c in 'xyz': SREG[f'%{a}.{c}'] = f'{b}.{c}'
class Err(Exception): pass
def cid(n): return 'v_' + re.sub(r'[^A-Za-z0-9_]', '_', n.lstrip('%'))

class Fn:
    def __init__(s, mod, name): s.mod, s.name, s.regs, s.scopes, s.out, s.params, s.count, s.psz = mod, name, {}, [{}], [], {}, 0, []
    def width(s, r):
        for sc in reversed(s.scopes):
            if r in sc: return sc[r]
        m = re.match(r'%([A-Za-z_]+)(\d+)$', r)
        if m and '%' + m[1] in s.regs: return s.regs['%' + m[1]]
        return None
    def val(s, op, t):                     # operand read as type t
        op = op.strip(); ct = CT[t]
        if op.startswith('!'): return f'!({s.val(op[1:], t)})'
        if op in SREG: return f'(({ct})({SREG[op]}))'
        m = re.match(r'0[fF]([0-9a-fA-F]{8})$', op)
        if m: return f'ptx::bc<float>(0x{m[1]}u)' if t != 'b32' and t != 'u32' else f'0x{m[1]}u'
        m = re.match(r'0[dD]([0-9a-fA-F]{16})$', op)
        if m: return f'ptx::bc<double>(0x{m[1]}ull)' if t == 'f64' else f'0x{m[1]}ull'
        m = re.match(r'(-?)(0[xX][0-9a-fA-F]+|\d+)U?$', op)
        if m:
            v = int(m[2], 0) if not re.match(r'0\d', m[2]) else int(m[2], 8)
            v = -v if m[1] else v
            if t == 'pred': return 'true' if v else 'false'
            w = max(W[t], 8); e = f'({UT[w]})0x{v & ((1 << w) - 1):x}ull'
            return f'ptx::bc<{ct}>({e})' if t in FLOATS else f'(({ct})({e}))'
        w = s.width(op)
        if w:
            n = cid(op)
            if t in FLOATS: return f'ptx::bc<{ct}>(({UT[W[t]]}){n})'
            return n if UT[w] == ct else f'(({ct}){n})'
        return f'(({ct})({s.sym(op)}))'
    def sym(s, op):
        m = re.match(r'([A-Za-z_$.%][\w$.%]*)(?:\s*\+\s*(-?\d+))?$', op)
        if not m: raise Err(f'operand {op!r}')
        n, off = m[1], int(m[2] or 0)
        for sc in reversed(s.scopes):
            if '&' + n in sc: return f'(uint64_t)({cid(n)} + {off})'
        if n in s.params: return f'((uint64_t)params + {s.params[n] + off})'
        if n in s.shared: return f'({s.shared[n]} + {off})'
        if n in s.mod.globals: return f'((uint64_t)&g_{cid(n)}[0] + {off})'
        if n in s.mod.funcs: return f'((uint64_t)&{cid(n)})'
        raise Err(f'unknown symbol {n}')
    def addr(s, op, space):
        m = re.match(r'\[\s*(.*?)\s*\]$', op)
        inner = m[1]; m = re.match(r'(%[\w$.]+|[A-Za-z_$][\w$.]*)\s*(?:\+\s*(-?(?:0x)?[0-9a-fA-F]+))?$', inner)
        if not m: m2 = re.match(r'(\d+)$', inner); base, off = inner if m2 else None, 0
        else: base, off = m[1], int(m[2] or '0', 0)
        if base is None: raise Err(f'address {op!r}')
        w = s.width(base)
        e = f'(uint64_t)(uint32_t)({cid(base)} + {off})' if w == 32 else f'((uint64_t){cid(base)} + {off}ll)' if w else f'({s.sym(base)} + {off}ll)'
        return f'ptx::shared({e})' if space == 'shared' else e
    def put(s, dst, t, e):                 # write typed expression e to a register
        dst = dst.strip()
        if dst == '_': s.out.append(f'(void)({e});'); return
        w = s.width(dst)
        if w is None: raise Err(f'unknown register {dst}')
        if t in FLOATS: s.out.append(f'{cid(dst)} = ptx::bc<{UT[W[t]]}>(({CT[t]})({e}));')
        else: s.out.append(f'{cid(dst)} = ({UT[w]})({CT[t]})({e});')

def split_ops(x):
    out, d, cur = [], 0, ''
    for c in x:
        if c in '{[(': d += 1
        if c in '}])': d -= 1
        if c == ',' and d == 0: out.append(cur.strip()); cur = ''
        else: cur += c
    if cur.strip(): out.append(cur.strip())
    return out
def vec(x): return split_ops(x.strip()[1:-1]) if x.strip().startswith('{') else [x.strip()]

def instr(f, text):
    m = re.match(r'@(!?)(%?[\w$]+)\s+(.*)$', text, re.S); pred = None
    if m: pred = ('!' if m[1] else '') + cid(m[2]); text = m[3]
    m = re.match(r'([a-z][\w.:]*)\s*(.*)$', text, re.S)
    op, rest = m[1], m[2].strip()
    p = op.replace('::', '__').split('.'); o, mods = p[0], p[1:]; a = split_ops(rest); t = next((x for x in reversed(mods) if x in W), None)
    body = Emit(f); start = len(f.out); f.count += 1
    if pred: f.out.append(f'if ({pred}) {{')
    n = len(f.out); body.go(o, mods, a, t, rest)
    if pred:
        f.out.append('}')

class Emit:
    def __init__(s, f): s.f = f
    def go(s, o, mods, a, t, rest):
        f = s.f; V = f.val; sat = 'sat' in mods
        def R(e): f.put(a[0], t, f'ptx::sat01({e})' if sat and t in ('f32', 'f64') else e)
        rm = next((x for x in mods if x in ('rm', 'rp', 'rz')), None)
        if o in ('add', 'sub', 'mul', 'div', 'rem') and t in FLOATS or (o in ('add', 'sub') and 'cc' not in mods and t not in FLOATS) or (o in ('div', 'rem')):
            x, y = V(a[1], t), V(a[2], t); c = {'add': '+', 'sub': '-', 'mul': '*', 'div': '/', 'rem': '%'}[o]
            if t in FLOATS: R(f'ptx::dir({x}, {y}, {"+-*/".index(c)}, {["rm","rp","rz"].index(rm)})' if rm and t in ('f32',) else f'{x} {c} {y}')
            elif o in ('div', 'rem'): R(f'ptx::i{o}<{CT[t]}>({x}, {y})')
            else: u = UT[W[t]]; R(f'ptx::addsat({x}, {"" if o == "add" else "-(int64_t)"}{y})' if sat else f'({u})(({u}){x} {c} ({u}){y})')
        elif o in ('add', 'sub', 'addc', 'subc', 'mad', 'madc') and ('cc' in mods or o in ('addc', 'subc', 'madc')):
            u = 'unsigned __int128'; w = W[t]; z = UT[w]
            if o[:3] == 'mad':
                hi = 'hi' in mods; e = f'({u})({z})((({u})({z}){V(a[1], t)} * ({z}){V(a[2], t)}) >> {w if hi else 0}) + ({z}){V(a[3], t)}'
            elif o[:3] == 'add': e = f'({u})({z}){V(a[1], t)} + ({z}){V(a[2], t)}'
            else: e = f'({u})({z}){V(a[1], t)} + ({z})~{V(a[2], t)} + ' + ('1' if o == 'sub' else 'cc')
            if o in ('addc', 'madc'): e += ' + cc'
            f.out.append(f'{{ {u} x_ = {e};' + (f' cc = (x_ >> {w}) & 1;' if 'cc' in mods else '')); f.put(a[0], t, f'({z})x_'); f.out.append('}')
        elif o in ('mul', 'mad', 'mul24', 'mad24') and t not in FLOATS:
            x, y = V(a[1], t), V(a[2], t); w = W[t]; sg = t[0] == 's'
            if 'wide' in mods:
                rt = ('s' if sg else 'u') + str(2 * w); wt = CT[rt]; e = f'({wt}){x} * ({wt}){y}'
                if o == 'mad': e += f' + {V(a[3], rt)}'
                f.put(a[0], rt, e)
            elif 'hi' in mods: b = '__int128' if sg else 'unsigned __int128'; R(f'({CT[t]})((({b}){x} * ({b}){y}) >> {w})' + (f' + {V(a[3], t)}' if o == 'mad' else ''))
            else: u = UT[max(w, 32)]; R(f'({u}){x} * ({u}){y}' + (f' + ({u}){V(a[3], t)}' if o[:3] == 'mad' else ''))
        elif o in ('fma', 'mad'): R(f'ptx::fma_dir({V(a[1], t)}, {V(a[2], t)}, {V(a[3], t)}, {["rm","rp","rz"].index(rm)})' if rm and t == 'f32' else ('ptx::relu(' if 'relu' in mods else '(') + f'ptx::fma({V(a[1], t)}, {V(a[2], t)}, {V(a[3], t)}))')
        elif o in ('and', 'or', 'xor'): R(f'{V(a[1], t)} {dict(zip(("and","or","xor"), "&|^"))[o]} {V(a[2], t)}')
        elif o == 'not': R(f'!{V(a[1], t)}' if t == 'pred' else f'~{V(a[1], t)}')
        elif o == 'cnot': R(f'{V(a[1], t)} == 0')
        elif o == 'neg': R(f'-{V(a[1], t)}' if t in FLOATS else f'({UT[W[t]]})0 - ({UT[W[t]]}){V(a[1], t)}')
        elif o == 'abs': R(f'ptx::abs({V(a[1], t)})')
        elif o in ('min', 'max'):
            e = V(a[1], t)
            for y in a[2:]: e = f'ptx::{o}{"_nan" if "NaN" in mods else ""}({e}, {V(y, t)})'
            R(e)
        elif o == 'shl': R(f'({V(a[2], "u32")} >= {W[t]} ? 0 : ({UT[W[t]]}){V(a[1], t)} << {V(a[2], "u32")})')
        elif o == 'shr': y = V(a[2], 'u32'); R(f'({V(a[1], t)} >> ({y} >= {W[t]} ? {W[t] - 1} : {y}))' if t[0] == 's' else f'({y} >= {W[t]} ? 0 : {V(a[1], t)} >> {y})')
        elif o == 'shf': R(f'ptx::shf_{mods[0]}({V(a[1], t)}, {V(a[2], t)}, ' + (f'{V(a[3], "u32")} & 31' if 'wrap' in mods else f'std::min(32u, {V(a[3], "u32")})') + ')')
        elif o == 'lop3': R(f'ptx::lop3({V(a[1], t)}, {V(a[2], t)}, {V(a[3], t)}, {V(a[4], "u32")})')
        elif o == 'prmt': R(f'ptx::prmt({V(a[1], "u32")}, {V(a[2], "u32")}, {V(a[3], "u32")})')
        elif o == 'bfe': R(f'ptx::bfe<{CT[t]}>({V(a[1], t)}, {V(a[2], "u32")} & 255, {V(a[3], "u32")} & 255)')
        elif o == 'bfi': R(f'ptx::bfi<{UT[W[t]]}>({V(a[1], t)}, {V(a[2], t)}, {V(a[3], "u32")} & 255, {V(a[4], "u32")} & 255)')
        elif o == 'popc': f.put(a[0], 'u32', f'__builtin_popcountll({V(a[1], "b" + str(W[t]))})')
        elif o == 'clz': f.put(a[0], 'u32', f'ptx::clz<{UT[W[t]]}>({V(a[1], t)})')
        elif o == 'brev': R(f'ptx::brev<{UT[W[t]]}>({V(a[1], t)})')
        elif o == 'bfind': f.put(a[0], 'u32', f'ptx::bfind<{CT[t]}>({V(a[1], t)}, {int("shiftamt" in mods)})')
        elif o == 'selp': R(f'{V(a[3], "pred")} ? {V(a[1], t)} : {V(a[2], t)}')
        elif o == 'slct': R(f'{V(a[3], t)} >= 0 ? {V(a[1], mods[-2])} : {V(a[2], mods[-2])}')
        elif o in ('setp', 'set'):
            cmp = mods[0]; ty = mods[-1]; x, y = V(a[1], ty), V(a[2], ty)
            ops = {'eq': '==', 'ne': '!=', 'lt': '<', 'le': '<=', 'gt': '>', 'ge': '>=', 'lo': '<', 'ls': '<=', 'hi': '>', 'hs': '>='}
            if cmp == 'num': e = f'ptx::num({x}, {y})'
            elif cmp == 'nan': e = f'!ptx::num({x}, {y})'
            elif cmp in ops: e = f'({x} {ops[cmp]} {y})' if not (ty in FLOATS and cmp == 'ne') else f'(ptx::num({x}, {y}) && {x} != {y})'
            elif cmp[:2] in ops and cmp[-1] == 'u': e = f'(!ptx::num({x}, {y}) || {x} {ops[cmp[:2]]} {y})'
            else: raise Err('setp ' + cmp)
            b = next((m for m in mods[1:-1] if m in ('and', 'or', 'xor')), None)
            if o == 'set': f.put(a[0], mods[-2], f'{e} ? {"1" if mods[-2] == "f32" else "~0ull"} : 0'); return
            d = a[0].split('|'); c = {'and': '&', 'or': '|', 'xor': '^'}.get(b)
            f.out.append(f'{{ bool c_ = {e};' + (f' bool q_ = {V(a[3], "pred")};' if b else '')); f.put(d[0], 'pred', f'c_ {c} q_' if b else 'c_')
            if len(d) > 1: f.put(d[1], 'pred', f'!c_ {c} q_' if b else '!c_')
            f.out.append('}')
        elif o == 'mov' or o == 'createpolicy':
            if o == 'createpolicy': f.put(a[0], 'b64', '0'); return
            d, sr = vec(a[0]), vec(a[1])
            if len(d) == 1 and len(sr) == 1: f.put(a[0], t if t != 'b128' else 'b64', V(a[1], t))
            elif len(d) == 1: w = W[t] // len(sr); f.put(a[0], 'b' + str(W[t]), ' | '.join(f'((uint64_t){V(x, "b" + str(w))} << {i * w})' for i, x in enumerate(sr)))
            else:
                w = W[t] // len(d); f.out.append(f'{{ uint64_t x_ = {V(a[1], "b" + str(W[t]))};')
                for i, x in enumerate(d): f.put(x, 'b' + str(w), f'x_ >> {i * w}')
                f.out.append('}')
        elif o == 'cvta':
            to = 'to' in mods
            if 'shared' in mods: f.put(a[0], t, f'{V(a[1], t)} - ptx::base()' if to else f'{V(a[1], t)} + ptx::base()')
            else: f.put(a[0], t, V(a[1], t))
        elif o == 'isspacep': f.put(a[0], 'pred', f'ptx::in_shared({V(a[1], "u64")})' if 'shared' in mods else f'!ptx::in_shared({V(a[1], "u64")})')
        elif o == 'cvt':
            ty = [m for m in mods if m in W]; d, sr = ty[0], ty[1]; rnd = next((m for m in mods if m in ('rni', 'rzi', 'rmi', 'rpi')), None); relu = 'ptx::relu' if 'relu' in mods else ''
            if d in ('f16x2', 'bf16x2'): f.put(a[0], d, f'{relu}({CT[d]}::make({V(a[2], "f32")}, {V(a[1], "f32")}))')
            elif d == 'tf32': f.put(a[0], 'b32', f'ptx::tf32({V(a[1], "f32")})')
            elif sr in FLOATS and d not in FLOATS: f.put(a[0], d, f'ptx::f2i<{CT[d]}>((double){V(a[1], sr)}, {["rni","rzi","rmi","rpi"].index(rnd or "rzi")})')
            elif sr in FLOATS and rnd: f.put(a[0], d, f'({CT[d]})ptx::rint_mode((double){V(a[1], sr)}, {["rni","rzi","rmi","rpi"].index(rnd)})')
            elif d in FLOATS:
                e = f'ptx::cvtf<{CT[d]}>({V(a[1], sr)}, {["rm","rp","rz"].index(rm) if rm else -1})'; f.put(a[0], d, f'ptx::sat01({e})' if sat else e)
            elif sat: f.put(a[0], d, f'ptx::isat<{CT[d]}>({V(a[1], sr)})')
            else: f.put(a[0], d, V(a[1], sr))
        elif o in ('ex2', 'lg2', 'rcp', 'rsqrt', 'sqrt', 'sin', 'cos', 'tanh'):
            g = {'ex2': 'exp2', 'lg2': 'log2', 'rcp': 'rcp', 'rsqrt': 'rsqrt', 'sqrt': 'sqrt', 'sin': 'sin', 'cos': 'cos', 'tanh': 'tanh'}[o]; R(f'ptx::fn1({V(a[1], t)}, ptx::op_{g})')
        elif o == 'copysign': R(f'std::copysign({V(a[2], t)}, {V(a[1], t)})')
        elif o == 'testp': f.put(a[0], 'pred', f'ptx::testp_{mods[0]}({V(a[1], t)})')
        elif o in ('ld', 'ldu'):
            sp = next((m for m in mods if m.split('__')[0] in ('shared', 'global', 'local', 'const', 'param')), 'generic').split('__')[0]; d = vec(a[0]); ad = f.addr(a[1], sp)
            f.out.append(f'{{ uint64_t a_ = {ad}; ptx::check(a_, {W[t] // 8 * len(d)}); ')
            b = t if t in ('s8', 's16', 's32') else 'b' + str(W[t]); f.out.append(f'{CT[b]} t_[{len(d)}]; memcpy(t_, (void*)a_, sizeof t_);')
            for i, x in enumerate(d): f.put(x, b, f't_[{i}]')
            f.out.append('}')
        elif o == 'st':
            sp = next((m for m in mods if m.split('__')[0] in ('shared', 'global', 'local', 'param')), 'generic').split('__')[0]; sr = vec(a[1]); b = 'b' + str(W[t])
            f.out.append(f'{{ uint64_t a_ = {f.addr(a[0], sp)}; ptx::check(a_, {W[t] // 8 * len(sr)}); {CT[b]} t_[] = {{' + ', '.join(V(x, b) for x in sr) + '}; memcpy((void*)a_, t_, sizeof t_); }')
        elif o in ('atom', 'red'):
            sp = 'shared' if any(m.startswith('shared') for m in mods) else 'global'; k = next(m for m in mods if m in ('add', 'min', 'max', 'and', 'or', 'xor', 'exch', 'cas', 'inc', 'dec'))
            if o == 'red': a = ['_'] + a
            u = UT[W[t]]; ex = {'add': 'o_ + x_', 'min': 'ptx::min(o_, x_)', 'max': 'ptx::max(o_, x_)', 'and': 'o_ & x_', 'or': 'o_ | x_', 'xor': 'o_ ^ x_', 'exch': 'x_', 'inc': '(o_ >= x_ ? 0 : o_ + 1)', 'dec': '(o_ == 0 || o_ > x_ ? x_ : o_ - 1)', 'cas': '(o_ == x_ ? y_ : o_)'}[k]
            f.out.append(f'{{ uint64_t a_ = {f.addr(a[1], sp)}; ptx::check(a_, {W[t] // 8}); {CT[t]} x_ = {V(a[2], t)}' + (f', y_ = {V(a[3], t)}' if k == 'cas' else '') + f'; {CT[t]} r_ = ptx::rmw<{u}, {CT[t]}>(a_, [&]({CT[t]} o_) {{ return ({CT[t]})({ex}); }});'); f.put(a[0], t, 'r_'); f.out.append('}')
        elif o == 'bra': f.out.append(f'goto {cid(rest)};')
        elif o in ('ret', 'exit'): f.out.append('return;')
        elif o == 'trap': f.out.append('simt::die("trap");')
        elif o in ('bar', 'barrier') and 'warp' in mods: f.out.append(f'simt::warp_exchange({V(a[0], "b32")}, 0);')
        elif o in ('bar', 'barrier') and 'cluster' in mods: f.out.append('simt::barrier();')
        elif o in ('bar', 'barrier'):
            if len(a) > 1 and 'red' not in mods: f.out.append('ptx::named_bar_unsupported();')
            if 'red' in mods:
                f.out.append(f'simt::barrier({V(a[-1], "pred")});'); k = 'popc' if 'popc' in mods else 'and' if 'and' in mods else 'or'; f.put(a[0], 'u32' if k == 'popc' else 'pred', f'simt::B->res_{"cnt" if k == "popc" else k}')
            else: f.out.append('simt::barrier();')
        elif o in ('membar', 'fence', 'prefetch', 'prefetchu', 'nanosleep', 'pragma', 'griddepcontrol', 'discard', 'applypriority'): f.out.append(';')
        elif o == 'shfl':
            d = a[0].split('|'); f.out.append(f'{{ bool k_; uint32_t r_ = ptx::shfl_{mods[1]}({V(a[1], "b32")}, {V(a[2], "b32")}, {V(a[3], "b32")}, {V(a[4], "b32")}, k_);'); f.put(d[0], 'b32', 'r_')
            if len(d) > 1: f.put(d[1], 'pred', 'k_')
            f.out.append('}')
        elif o == 'vote':
            k = mods[1]; e = f'__ballot_sync({V(a[2], "b32")}, {V(a[1], "pred")})'
            if k == 'ballot': f.put(a[0], 'b32', e)
            else: f.put(a[0], 'pred', {'any': f'{e} != 0', 'all': f'__ballot_sync({V(a[2], "b32")}, !({V(a[1], "pred")})) == 0', 'uni': f'ptx::uni({e}, {V(a[2], "b32")})'}[k])
        elif o == 'activemask': f.put(a[0], 'b32', '~0u')
        elif o == 'redux': k = next(m for m in mods if m in ('add', 'min', 'max', 'and', 'or', 'xor')); f.put(a[0], t, f'ptx::redux<{CT[t]}>({V(a[2], "b32")}, {V(a[1], t)}, ptx::rx_{k})')
        elif o == 'match': f.put(a[0].split('|')[0], 'b32', f'ptx::match({V(a[2], "b32")}, {V(a[1], t)})')
        elif o == 'elect': d = a[0].split('|'); f.put(d[1], 'pred', f'(uint32_t)simt::lane() == (uint32_t)__builtin_ctz({V(a[1], "b32")})')
        elif o == 'mma':
            sh = next(m for m in mods if re.match(r'm\d+n\d+k\d+', m)); ty = [m for m in mods if m in W or m in ('e4m3', 'e5m2', 's4', 'u4')]; d, A, B_, C = map(vec, a[:4])
            if sh not in ('m16n8k16', 'm16n8k8') or ty[0] != 'f32' or ty[1] not in ('bf16', 'f16', 'tf32'): raise Err('mma ' + '.'.join(mods))
            f.out.append(f'{{ uint32_t A_[] = {{{", ".join(V(x, "b32") for x in A)}}}, B_[] = {{{", ".join(V(x, "b32") for x in B_)}}}; float D_[] = {{{", ".join(V(x, "f32") for x in C)}}}; ptx::mma<{sh[-2:].lstrip("k")}, ptx::{"t_" + ty[1]}>(D_, A_, B_);')
            for i, x in enumerate(d): f.put(x, 'f32', f'D_[{i}]')
            f.out.append('}')
        elif o == 'wmma':
            sh = next(m for m in mods if re.match(r'm\d+n\d+k\d+', m)); M, N, K = map(int, re.match(r'm(\d+)n(\d+)k(\d+)', sh).groups()); sp = 'shared' if 'shared' in mods else 'generic'
            if mods[0] in ('load', 'store'):
                ld = mods[0] == 'load'; R_, C_ = {'a': (M, K), 'b': (K, N), 'c': (M, N), 'd': (M, N)}[mods[1]]; regs = vec(a[0] if ld else a[1]); row = int('row' in mods)
                if t not in ('f16', 'bf16', 'f32'): raise Err('wmma type ' + t)
                st_ = V(a[2], 'u32') if len(a) > 2 else str(C_ if row else R_); ad = f.addr(a[1] if ld else a[0], sp)
                if ld:
                    f.out.append(f'{{ uint32_t D_[{len(regs)}] = {{}}; ptx::wmma_load<{W[t] // 8}>(D_, {ad}, {st_}, {row}, {R_}, {C_});')
                    for i, x in enumerate(regs): f.put(x, 'b32', f'D_[{i}]')
                    f.out.append('}')
                else: f.out.append(f'{{ uint32_t D_[] = {{{", ".join(V(x, "b32") for x in regs)}}}; ptx::wmma_store<{W[t] // 8}>(D_, {ad}, {st_}, {row}, {R_}, {C_}); }}')
            else:
                ty = [m for m in mods if m in W]; d, A, B_, C = map(vec, a[:4]); it = ty[1] if len(ty) == 4 else 'f16'
                if it not in ('bf16', 'f16') or ty[0] != 'f32' or ty[-1] != 'f32': raise Err('wmma.mma ' + '.'.join(ty))
                f.out.append(f'{{ uint32_t A_[] = {{{", ".join(V(x, "b32") for x in A)}}}, B_[] = {{{", ".join(V(x, "b32") for x in B_)}}}; float D_[] = {{{", ".join(V(x, "f32") for x in C)}}}; ptx::wmma_mma<{M}, {N}, {K}, ptx::t_{it}>(D_, A_, B_);')
                for i, x in enumerate(d): f.put(x, 'f32', f'D_[{i}]')
                f.out.append('}')
        elif o == 'ldmatrix':
            d = vec(a[0]); f.out.append(f'{{ uint32_t D_[{len(d)}]; ptx::ldmatrix<{len(d)}>(D_, {f.addr(a[1], "shared")}, {int("trans" in mods)});')
            for i, x in enumerate(d): f.put(x, 'b32', f'D_[{i}]')
            f.out.append('}')
        elif o == 'stmatrix': sr = vec(a[1]); f.out.append(f'{{ uint32_t D_[] = {{{", ".join(V(x, "b32") for x in sr)}}}; ptx::stmatrix<{len(sr)}>(D_, {f.addr(a[0], "shared")}, {int("trans" in mods)}); }}')
        elif o == 'cp' and mods[0] == 'async' and 'bulk' not in mods and 'mbarrier' not in mods:
            if 'commit_group' in mods: f.out.append('ptx::cp_commit();')
            elif 'wait_group' in mods: f.out.append(f'ptx::cp_wait({V(a[0], "u32")});')
            elif 'wait_all' in mods: f.out.append('ptx::cp_commit(); ptx::cp_wait(0);')
            else: f.out.append(f'ptx::cp_async({f.addr(a[0], "shared")}, {f.addr(a[1], "global")}, {V(a[2], "u32")}, {V(a[3], "u32") if len(a) > 3 else V(a[2], "u32")});')
        elif o == 'call':
            r = re.sub(r'\s+', ' ', rest); m = re.match(r'(?:\(([^)]*)\), )?([\w$]+)(?:, \(([^)]*)\))?', r); args = [x.strip() for x in ((m[1] or '') + ',' + (m[3] or '')).split(',') if x.strip()]
            if m[2] not in f.mod.funcs and m[2] not in ('vprintf', '__assertfail'): raise Err('call of ' + m[2])
            f.out.append(f'{cid(m[2])}({", ".join(cid(x) for x in args)});')
        else: raise Err(f'{o}.{".".join(mods)}')

class Mod: pass
def align(x, a): return (x + a - 1) // a * a
def decl(t, f=None):                       # '.align 4 .b8 name[64]' -> (name, bytes, align, ctype)
    m = re.match(r'(?:\.align\s+(\d+)\s+)?\.(\w+)\s+(?:\.ptr\s*(?:\.(?!align)\w+\s*)*(?:\.align\s+\d+\s*)?)?([\w$%]+)\s*(\[(\d*)\])?', t)
    w = max(W[m[2]] // 8, 1); n = int(m[5]) if m[5] else (0 if m[4] else 1)
    return m[3], w * n, int(m[1] or w), m[2]
def main():
    src = open(sys.argv[1]).read(); src = re.sub(r'/\*.*?\*/', '', src, flags=re.S); src = re.sub(r'//[^\n]*', '', src)
    mod = Mod(); mod.shared, mod.globals, mod.funcs = {}, {}, set(); dyns = []
    # static shared memory, wherever declared; dynamic arrays start after it
    dep, top = 0, ''
    for c in src:
        dep += c == '{'
        if dep == 0: top += c
        dep -= c == '}'
    def shared_of(text, tab, pos):
        for m in re.finditer(r'(\.extern\s+)?(?:\.weak\s+|\.visible\s+)?\.shared\s+([^;{]*);', text):
            n, sz, al, _ = decl(m[2])
            if m[1]: dyns.append(n)
            elif n not in tab: pos = align(pos, al); tab[n] = pos; pos += sz
        return pos
    off = shared_of(top, mod.shared, 0)
    out, kernels, bad = [], [], []
    for m in re.finditer(r'^(?:\.visible\s+|\.weak\s+|\.extern\s+)*\.(?:global|const)\s+([^;=]*)(?:=\s*([^;]*))?;', src, re.M):
        n, sz, al, ty = decl(m[1]); mod.globals[n] = sz; init = (m[2] or '').strip().strip('{}')
        vals = [v.strip() for v in init.split(',') if v.strip()]; vals = [('0x' + v[2:] if re.match(r'0[fFdD]', v) else v.rstrip('U')) for v in vals]
        u = UT[max(W[ty], 8)]; out.append(f'alignas({max(al, 16)}) static {u} g_{cid(n)}[{max(1, sz // (W[ty] // 8))}]' + (f' = {{{", ".join(f"({u})" + v for v in vals)}}}' if vals else '') + ';')
    heads = list(re.finditer(r'\.(entry|func)\s+(\(([^)]*)\)\s*)?([\w$]+)\s*(?:\(([^)]*)\))?([^{;]*)([{;])', src))
    for h in heads:
        if h[1] == 'func' and h[4] not in ('vprintf', '__assertfail'):
            mod.funcs.add(h[4]); ps = [decl(x.strip()[6:].strip())[0] for x in split_ops((h[3] or '') + ',' + (h[5] or '')) if x.strip()]
            out.append(f'static void {cid(h[4])}({", ".join("uint8_t* " + cid(p) for p in ps)});')
    for h in heads:
        if h[7] == ';': continue
        i, d = h.end(), 1
        while d: d += {'{': 1, '}': -1}.get(src[i], 0); i += 1
        body = src[h.end():i - 1]; f = Fn(mod, h[4]); po, sig = 0, []; f.shared = dict(mod.shared); static = shared_of(body, f.shared, off); static = align(static, 128) if dyns else static; f.shared.update((n, static) for n in dyns)
        for ps in split_ops((h[3] or '')) + split_ops((h[5] or '')):
            n, sz, al, _ = decl(ps.strip()[6:].strip())
            if h[1] == 'entry': po = align(po, al); f.params[n] = po; f.psz.append((po, sz)); po += sz
            else: f.scopes[0]['&' + n] = 1; sig.append('uint8_t* ' + cid(n))
        # statements: ';' ends one; '{' or '}' at the start of one is a scope
        pos, stm, cur, depth = 0, [], '', 0
        for c in body:
            if c == '{' and not cur.strip(): stm.append('{'); cur = ''
            elif c == '}' and depth == 0 and not cur.strip(): stm.append('}'); cur = ''
            elif c == ';' and depth == 0: stm.append(cur.strip()); cur = ''
            elif c == ':' and depth == 0 and re.match(r'\s*[\w$]+$', cur) and body[pos + 1:pos + 2] != ':' and not cur.rstrip().endswith(':'): stm.append(cur.strip() + ':'); cur = ''
            else: cur += c; depth += (c in '{[(') - (c in '}])')
            pos += 1
        decls, lines = [], f.out
        try:
            for st in stm:
                f.count += 0
                if st == '{': f.scopes.append({}); lines.append('{')
                elif st == '}': f.scopes.pop(); lines.append('}')
                elif st.endswith(':'): lines.append(f'{cid(st[:-1])}: PTX_BLOCK;')
                elif st.startswith('.reg'):
                    m = re.match(r'\.reg\s+\.(\w+)\s+(.*)', st, re.S); w = W[m[1]] if m[1] != 'pred' else 1
                    for r in m[2].split(','):
                        r = r.strip(); q = re.match(r'(%[A-Za-z_]+)<(\d+)>', r)
                        if q: f.regs[q[1]] = w; used = sorted(set(re.findall(re.escape(q[1]) + r'\d+\b', body))); decls += [f'{UT[w]} {", ".join(cid(x) for x in used)};'] if used else []
                        else:
                            f.scopes[-1][r] = w; (decls if len(f.scopes) == 1 else lines).append(f'{UT[w]} {cid(r)};')
                elif st.startswith('.param') or st.startswith('.local'):
                    n, sz, al, _ = decl(st[6:].strip()); f.scopes[-1]['&' + n] = 1; (decls if len(f.scopes) == 1 else lines).append(f'alignas(16) uint8_t {cid(n)}[{max(sz, 1)}];')
                elif st.startswith('.') or not st: continue
                else:
                    k = len(lines); instr(f, re.sub(r'\s+', ' ', st)); lines.insert(k, 'PTX_COUNT1;')
            code = '\n'.join(lines); lab = set(re.findall(r'^(v_\w+): PTX_BLOCK', code, re.M))
            name = ('k_' if h[1] == 'entry' else '') + (h[4] if h[1] == 'entry' else cid(h[4]))
            out.append(f'static void {name}({"const uint8_t* params" if h[1] == "entry" else ", ".join(sig)}) {{\nuint32_t cc = 0; (void)cc;\n' + '\n'.join(decls) + '\n' + code + '\n}')
            if h[1] == 'entry': kernels.append((h[4], po, f.psz, static))
        except (Err, KeyError, ValueError, StopIteration) as e:
            bad.append((h[4], str(e), st)); sys.stderr.write(f'ptx2cpp: {sys.argv[1]}: {h[4]}: unsupported: {e}   in: {st[:120]}\n')
            if h[1] == 'func': out.append(f'static void {cid(h[4])}({", ".join(sig)}) {{ simt::die("unsupported PTX in {h[4]}"); }}')
    print('#include "tests/ptx/ptxrt.h"\nnamespace {\n' + '\n'.join(out))
    for n in mod.globals: print(f'ptx::Var var_{cid(n)}("{n}", (void*)g_{cid(n)}, {mod.globals[n]});')
    for n, sz, ps, static in kernels: print(f'ptx::Reg reg_{n}("{n}", k_{n}, {sz}, {static}, {{{", ".join(str(o) for o, _ in ps)}}}, {{{", ".join(str(z) for _, z in ps)}}});')
    print('}'); sys.exit(1 if bad else 0)
main()
