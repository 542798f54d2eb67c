// A MatMul model [rows, depth] x [depth, outs] as ONNX protobuf bytes (opset 13); B is an initializer, as weights are.
export function matmulModel(rows, outs, depth, b) {
  const node = join([bytes(1, text("a")), bytes(1, text("b")), bytes(2, text("y")), bytes(4, text("MatMul"))]);
  const weights = join([number(1, depth), number(1, outs), number(2, 1), bytes(8, text("b")), bytes(9, new Uint8Array(b.buffer, b.byteOffset, b.byteLength))]);
  const graph = join([bytes(1, node), bytes(2, text("g")), bytes(5, weights), bytes(11, value("a", [rows, depth])), bytes(12, value("y", [rows, outs]))]);
  return join([number(1, 8), bytes(7, graph), bytes(8, number(2, 13))]);
}

const text = (s) => new TextEncoder().encode(s);

function varint(n) {
  const out = [];
  for (; n > 127; n = Math.floor(n / 128)) out.push((n % 128) | 128);
  return Uint8Array.from([...out, n]);
}

function join(parts) {
  const all = new Uint8Array(parts.reduce((n, p) => n + p.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

const bytes = (field, content) => join([varint(field * 8 + 2), varint(content.length), content]);
const number = (field, n) => join([varint(field * 8), varint(n)]);
const dims = (shape) => bytes(2, join(shape.map((d) => bytes(1, number(1, d)))));
const value = (name, shape) => join([bytes(1, text(name)), bytes(2, bytes(1, join([number(1, 1), dims(shape)])))]);
