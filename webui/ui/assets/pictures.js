/* The pictures that a request draws from: chosen, dropped or pasted, sent to the server at once, and from then on a name in
   a box that Gradio knows. So they survive a reload, and the request stays small. */
(() => {
  const { one, part, address } = LW;
  const lines = new Map(); /* element id -> its line, kept while Gradio builds a tab anew */
  const takers = new Map(); /* element id -> who is told the name, where it is no box of Gradio's (an option of an extension) */
  const MOST = 50 * 2 ** 20;

  const boxOf = id => one(`#${id} textarea, #${id} input`);
  const url = name => address(`api/v1/inputs/${encodeURIComponent(name)}`);

  function put(id, name) { takers.has(id) ? (show(id, name), takers.get(id)(name)) : LW.setBox(id, name); }
  function show(id, name) {
    const line = lines.get(id);
    if (!line) return;
    const img = one('img', line), words = part(line, 'words');
    line.dataset.has = Boolean(name);
    img.hidden = !name;
    words.hidden = Boolean(name);
    one('button', line).hidden = !name;
    if (!name) return img.removeAttribute('src');
    img.alt = `${line.getAttribute('aria-label')}, chosen`;
    img.onerror = () => { put(id, ''); LW.note('That picture is not kept any more'); };
    if (img.src !== url(name)) img.src = url(name);
  }

  /* a tab that is opened late has its lines before its boxes have their values */
  function settle(id, tries = 20) {
    const name = boxOf(id)?.value;
    if (name || !tries) show(id, name ?? '');
    else setTimeout(settle, 50, id, tries - 1);
  }

  async function take(id, file) {
    const line = lines.get(id), tab = id.split('_')[0];
    if (!file || !line) return;
    if (file.size > MOST) return LW.stage.say(tab, `${line.getAttribute('aria-label')} has ${Math.round(file.size / 2 ** 20)} MB. It can have 50 MB.`);
    line.classList.add('busy');
    try {
      const answer = await fetch(address('api/v1/inputs'), { method: 'POST', body: file, headers: { 'Content-Type': 'application/octet-stream' } });
      const told = await answer.json();
      if (!answer.ok) return LW.stage.say(tab, told.detail.replace(/^Picture/, line.getAttribute('aria-label')));
      LW.stage.say(tab, '');
      put(id, told.name);
    } catch { LW.note('Not connected'); } finally { line.classList.remove('busy'); }
  }

  const lineAt = event => event.target.closest?.('[data-picture]');
  document.addEventListener('change', event => {
    const line = event.target.matches?.('[data-picture] input[type=file]') && lineAt(event);
    if (!line) return;
    take(line.dataset.picture, event.target.files[0]);
    event.target.value = '';
  });
  for (const name of ['dragover', 'dragleave', 'drop']) document.addEventListener(name, event => {
    const line = lineAt(event);
    if (!line) return;
    event.preventDefault();
    line.classList.toggle('over', name === 'dragover');
    if (name === 'drop') take(line.dataset.picture, event.dataTransfer.files[0]);
  });
  /* a picture pasted anywhere but into text goes to the first picture that is shown */
  document.addEventListener('paste', event => {
    const file = [...event.clipboardData?.files ?? []].find(file => file.type.startsWith('image/'));
    const line = file && [...lines.values()].find(line => line.isConnected && line.offsetParent);
    if (line) { event.preventDefault(); take(line.dataset.picture, file); }
  });
  /* where the focus is on a picture, it is that one's, also where a painter takes all others */
  document.addEventListener('paste', event => {
    const line = lineAt({ target: document.activeElement }), file = [...event.clipboardData?.files ?? []].find(file => file.type.startsWith('image/'));
    if (!line || !file) return;
    event.preventDefault();
    event.stopImmediatePropagation();
    take(line.dataset.picture, file);
  }, true);
  LW.actions.forget = b => put(lineAt({ target: b }).dataset.picture, '');

  LW.pictures = {
    /* taker: is told the name of each picture that is given, "" for none; without one it stands in the box of that id */
    mount(root, id, taker) {
      lines.set(id, one('[data-picture]', root) ?? root);
      if (taker) takers.set(id, taker); else settle(id);
    },
    show,
    forget(id) { lines.delete(id); takers.delete(id); },
  };
})();
