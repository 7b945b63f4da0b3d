// Handlers as they are deployed: what they get is seen in what they return.
export const event = async (it) => ({ statusCode: 200, headers: { 'content-type': 'application/json' }, body: JSON.stringify(it) });

// Returns what the body of the request says, or throws.
export const answer = async (it) => {
  const wanted = JSON.parse(it.body);
  if (wanted.throws) throw new Error(wanted.throws);
  return wanted.returns;
};

export const blue = async () => ({ statusCode: 200, body: 'blue' });
