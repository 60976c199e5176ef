/* The boards of the tabs that a picture goes into: which side is shown, what is handed in with Generate, which size suits.
   On a wide screen both sides stand beside each other and the switch is not there; see board.css. */
(() => {
  const { one, all, part } = LW;
  const boards = new Map(); /* tab -> what its board shows, kept while Gradio builds the tab anew */
  const of = tab => {
    if (!boards.has(tab)) boards.set(tab, { tab, root: null, view: LW.shelf('sessionStorage', `lw-view-${tab}`) ?? 'paint', hasNews: false });
    return boards.get(tab);
  };

  function draw(board) {
    if (!board.root?.isConnected) return;
    board.root.dataset.view = board.view;
    for (const b of all('[data-do="view"]', board.root)) {
      b.setAttribute('aria-pressed', b.dataset.view === board.view);
      b.classList.toggle('has-news', b.dataset.view === 'result' && board.hasNews && board.view === 'paint');
    }
  }
  function show(tab, view) {
    const board = of(tab);
    board.view = view;
    if (view === 'result') board.hasNews = false;
    LW.shelf('sessionStorage', `lw-view-${tab}`, view);
    draw(board);
  }
  /* a result that comes while somebody paints does not take the painter away; the switch says that it is there */
  LW.views.push(event => {
    const board = event.job && boards.get(event.job.tab);
    if (!board || event.kind !== 'finished') return;
    board.hasNews = true;
    draw(board);
  });
  LW.actions.view = b => show(b.dataset.tab, b.dataset.view);

  /* what goes in: {image, mask, batch, message}; the message says in one sentence why nothing can */
  async function collect(tab, isAlone = false) {
    const batch = isAlone ? [] : LW.folder.names(tab);
    if (batch.length) return { image: '', mask: '', batch, message: '' };
    try {
      const { image, mask, hasImage } = await LW.painter.collect(tab);
      return { image: hasImage ? image : '', mask: hasImage ? mask : '', batch: [], message: '' };
    } catch (error) { return { image: '', mask: '', batch: [], message: error.message }; }
  }

  /* a picture that was opened brings its size: as it is where the checkpoint is at ease with it, else its shape with about as
     many pixels as the checkpoint was trained on */
  const EASE = 1.6;
  function suit(tab, { width, height }) {
    const { native } = LW.facts(), fit = native / Math.sqrt(width * height), scale = fit * EASE >= 1 ? 1 : fit;
    const side = pixels => String(Math.max(64, scale === 1 ? pixels : Math.round(pixels * scale / 8) * 8));
    LW.setBox(`${tab}_width`, side(width));
    LW.setBox(`${tab}_height`, side(height));
    return scale;
  }
  document.addEventListener('painter:change', event => {
    const { tab, isNew, hasImage, width, height } = event.detail;
    LW.setBox(`${tab}_source`, hasImage ? `${width}x${height}` : '');
    if (!isNew || !hasImage) return;
    show(tab, 'paint');
    if (tab === 'upscale') return;
    const scale = suit(tab, event.detail);
    const onlyMasked = one('#inpaint_only_masked label:last-of-type input');
    if (tab === 'inpaint' && scale < 1 && onlyMasked && !onlyMasked.checked) {
      onlyMasked.click();
      LW.note('A large picture: only the masked part is drawn, the rest keeps its pixels');
    }
  });
  /* a picture dropped on the result is the next one that goes in */
  for (const name of ['dragover', 'drop']) document.addEventListener(name, event => {
    const board = event.target.closest?.('.board'), tab = board?.id.slice(0, -6);
    if (!tab || event.target.closest('.painter') || ![...event.dataTransfer.types].includes('Files')) return;
    event.preventDefault();
    const [file] = name === 'drop' ? event.dataTransfer.files : [];
    if (file) LW.painter.set(tab, { blob: file }).then(() => show(tab, 'paint'));
  });

  LW.board = {
    mount(root, tab) { const board = of(tab); board.root = one('.views', root) ?? root; draw(board); },
    show, collect,
    has: tab => boards.has(tab),
    size(tab) { const { width, height, hasImage } = LW.painter.state(tab); return hasImage ? [width, height] : null; },
    /* the answer to "Show the depth": {depth, message} */
    async depth(tab, answer) {
      LW.stage.say(tab, answer?.message);
      if (!answer?.depth) return;
      await LW.painter.set(tab, { maskUrl: LW.address(`api/v1/inputs/${encodeURIComponent(answer.depth)}`) });
      show(tab, 'paint');
    },
  };
})();
