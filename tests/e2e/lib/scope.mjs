// What a test or a file opens, closed in reverse order at its end. A cleaner that throws fails the test.
import { after } from 'node:test';

async function drain(stack) {
  const errors = [];
  while (stack.length) {
    try {
      await stack.pop()();
    } catch (error) {
      errors.push(error);
    }
  }
  if (errors.length) throw errors[0];
}

const scopes = new WeakMap();

// `owner` is a test context or the result of fileScope().
export function onEnd(owner, cleaner) {
  if (owner.stack) {
    owner.stack.push(cleaner);
    return;
  }
  let stack = scopes.get(owner);
  if (!stack) {
    stack = [];
    scopes.set(owner, stack);
    owner.after(() => drain(stack));
  }
  stack.push(cleaner);
}

// For what all tests of a file share. Call it at the top level of the file (or of a describe block).
export function fileScope() {
  const scope = { stack: [], name: 'file' };
  after(() => drain(scope.stack));
  return scope;
}
