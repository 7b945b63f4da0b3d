// The page and the back end are on one port: the gateway tells them apart by their paths.
const list = document.querySelector('#notes');

async function show() {
  const notes = await (await fetch('/api/notes')).json();
  list.replaceChildren(
    ...Object.entries(notes).map(([number, text]) => {
      const item = document.createElement('li');
      const remove = document.createElement('button');
      remove.textContent = '×';
      remove.title = 'Throw it away';
      remove.onclick = () => fetch(`/api/notes/${number}`, { method: 'DELETE' }).then(show);
      item.append(text, ' ', remove);
      return item;
    }),
  );
}

document.querySelector('#form').onsubmit = async (event) => {
  event.preventDefault();
  await fetch('/api/notes', { method: 'POST', headers: { 'Content-Type': 'text/plain' }, body: event.target.text.value });
  event.target.reset();
  show();
};

const { greeting } = await (await fetch('/greet/you')).json();
document.querySelector('#greeting').textContent = greeting;
show();
