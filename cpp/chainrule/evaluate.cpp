#include "chainrule/evaluate.hpp"

namespace chainrule {

template <class T>
LossSum evaluate(const Net<T>& net, const Dataset& data, Workspace<T>& space, BlockReader<T>& reader,
                 Interrupt& interrupt) {
  const Batch all{0, data.x.rows};
  LossSum sum{0, reader.weight_sum(data, all)};
  for_each_chunk(all, [&](const Batch& chunk) {
    const Block<T> block = reader.read(data, chunk);
    forward(space, net, block, false, 0, interrupt);
    sum.loss += loss(space, net, block);
  });
  return sum;
}

template LossSum evaluate(const Net<float>&, const Dataset&, Workspace<float>&, BlockReader<float>&,
                          Interrupt&);
template LossSum evaluate(const Net<double>&, const Dataset&, Workspace<double>&, BlockReader<double>&,
                          Interrupt&);

}  // namespace chainrule
