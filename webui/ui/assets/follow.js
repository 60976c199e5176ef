/* The controls follow the checkpoint in use: what it does not read is hidden by the sheet (:root[data-reads]), and a tab
   that it does not serve says what it needs. What was last known stands before the first paint, so that nothing jumps. */
(() => {
  const { one, all, part } = LW;
  const KEPT = 'lw-reads', root = document.documentElement;
  let facts = { reads: ['prompt', 'negative_prompt', 'width', 'height', 'clip_skip', 'emphasis', 'long_prompt'], tabs: {}, native: 512, step: 8 };

  /* guidance 0 and 1 are the prompt alone: the negative prompt stays, greyed, and says why */
  LW.guided = (tab, value) => {
    const box = one(`#${tab}_neg_prompt textarea`), why = 'Not read at guidance 0 or 1';
    if (!box) return;
    const isUnread = value === 0 || value === 1;
    box.dataset.hint ??= box.placeholder;
    box.classList.toggle('unread', isUnread);
    box.placeholder = isUnread ? why : box.dataset.hint;
    box.title = isUnread ? why : '';
  };

  function apply() {
    for (const number of all('[id$=_guidance] input[type=number]')) {
      LW.guided(number.closest('[id$=_guidance]').id.replace('_guidance', ''), number.valueAsNumber);
    }
    root.dataset.reads = facts.reads.join(' ');
    root.dataset.unserved = Object.keys(facts.tabs).filter(tab => facts.tabs[tab].why).join(' ');
    for (const box of all('.unserved-words')) {
      const { why = '', other = '', goto = '' } = facts.tabs[box.dataset.tab] ?? {}, use = part(box, 'use'), open = part(box, 'goto');
      open.hidden = !goto;
      open.dataset.tab = goto;
      one('span', open).textContent = `Open ${one(`#tab_${goto}-button`)?.textContent.trim() ?? goto}`;
      part(box, 'why').textContent = why && (other || goto ? why : `${why} Put one into models/Stable-diffusion.`);
      use.hidden = !other;
      use.dataset.title = other;
      one('span', use).textContent = `Use ${other}`;
    }
    LW.ownOptions?.drawAll();
    LW.examples?.draw();
    LW.turbo?.facts();
  }
  LW.facts = () => facts;
  LW.follow = next => {
    if (!next?.reads) return;
    facts = next;
    LW.shelf('localStorage', KEPT, JSON.stringify(facts));
    apply();
  };
  LW.presetName = (width, height) => width > 0 && height > 0 ? `${width} × ${height}` : null;
  LW.presetSize = text => { const found = /^\s*(\d+)\s*[×x]\s*(\d+)\s*$/.exec(text ?? ''); return found && [+found[1], +found[2]]; };
  LW.setBox = (id, text) => {
    const box = one(`#${id} textarea, #${id} input`);
    if (!box || box.value === text) return;
    box.value = text;
    box.dispatchEvent(new Event('input', { bubbles: true }));
  };
  LW.actions.use = b => LW.setBox('use_checkpoint', b.dataset.title);

  try { facts = JSON.parse(LW.shelf('localStorage', KEPT)) ?? facts; } catch { /* damaged: the page asks anyway */ }
  apply();
  addEventListener('load', apply);
})();
