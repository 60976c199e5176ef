/* The chosen sampler's and schedule's own options: one control for each, made from what LW.facts().own says of them. */
(() => {
  const { part, element, ownBox } = LW;
  const KINDS = ['sampler', 'schedule'];
  const places = new Map(); /* tab -> where its controls stand */
  const drawn = new Map(); /* tab and kind -> what stands there now */

  function draw(tab) {
    const root = places.get(tab);
    if (!root?.isConnected) return;
    const state = ownBox.state(tab);
    for (const kind of KINDS) {
      const name = state[kind], options = LW.facts().own?.[kind]?.[name] ?? [], place = part(root, kind);
      const told = JSON.stringify([name, options]), key = `${tab} ${kind}`;
      let now = drawn.get(key);
      if (now?.told !== told || now.place !== place) {
        const changed = (option, value) => ownBox.change(tab, own => ({ ...own, [kind]: { ...own[kind], [name]: { ...own[kind]?.[name], [option]: value } } }));
        now = { told, place, lines: LW.optionLines(`${tab}_${kind}_option`, options, changed) };
        drawn.set(key, now);
        place.replaceChildren(...now.lines.rows);
        place.setAttribute('aria-label', `Options of ${name}`);
      }
      now.lines.set(state.own[kind]?.[name] ?? {});
    }
    root.closest('.own-options').classList.toggle('some', KINDS.some(kind => part(root, kind).children.length));
  }
  ownBox.follow(draw);

  LW.ownOptions = {
    mount(root, tab) {
      root.replaceChildren(...KINDS.map(kind => {
        const group = element('div', { className: 'own-group' });
        group.dataset.part = kind;
        group.setAttribute('role', 'group');
        return group;
      }));
      places.set(tab, root);
      ownBox.settle(tab);
    },
    /* a setting of an extension is drawn as an option is */
    control: (option, id, changed) => LW.optionLine(id, option, changed),
    drawAll() { for (const tab of places.keys()) draw(tab); LW.chosen?.drawAll(); },
  };
})();
