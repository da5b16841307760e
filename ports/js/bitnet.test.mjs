// node --test ports/js

import assert from "node:assert/strict";
import { test } from "node:test";

import { masks, pack, rint, tables, unpack } from "./bitnet.mjs";

const draw = (count, low, high) => Int8Array.from({ length: count }, () => low + Math.floor(Math.random() * (high - low + 1)));

test("tables give what adding, subtracting and skipping give", () => {
  for (let i = 0; i < 200; i++) {
    const [T, M, N] = draw(3, 1, 30), x = draw(T * N, -128, 127), codes = draw(M * N, -1, 1);
    assert.deepEqual(tables(codes, M, N)(x, T), masks(codes, M, N)(x, T));
  }
});

test("what is packed comes out again", () => {
  for (let i = 0; i < 200; i++) {
    const [M, N] = draw(2, 1, 30), codes = draw(M * N, -1, 1);
    assert.deepEqual(unpack(pack(codes, M, N), M, N), codes);
  }
});

test("a half goes to the even number", () => {
  assert.deepEqual([-2.5, -1.5, -0.5, 0.5, 1.5, 2.5, 126.5, -127.5].map(rint), [-2, -2, 0, 0, 2, 2, 126, -128]);
});
