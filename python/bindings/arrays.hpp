// The border: NumPy arrays become the core's views, or a clear Python exception. Nothing is copied here.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <algorithm>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "chainrule/dataset.hpp"
#include "chainrule/net.hpp"

namespace chainrule::bindings {

namespace py = pybind11;

// Where the elements of sparse rows are.
struct SparseRows {
  std::vector<std::uint64_t> starts;
  std::vector<std::int32_t> columns;
  Sparsity sparsity{};
};

// Rows, and the array that owns them; of sparse rows, the elements that are stored.
struct Input {
  py::array owner;
  Rows rows;
  bool one_row = false;  // given as a vector
  std::shared_ptr<const SparseRows> sparse{};
};

// A data set, and the arrays that own it.
struct DatasetInput {
  Input x;
  Input y;
  std::optional<Input> weights;
  std::size_t classes = 0;  // of which y has the indices, or 0

  Dataset dataset() const;
};

// The inputs of a net, (rows, features), finite as T: an array, or a sparse matrix of SciPy's. A vector is
// one row where `vector_is_row`.
template <class T>
Input read_features(const py::object& x, const char* name, std::size_t features, bool vector_is_row = false);

// Targets and weights for `rows` rows of the net's outputs, checked against its loss.
template <class T>
void read_targets(DatasetInput& into, const Net<T>& net, std::size_t rows, const py::object& y,
                  const py::object& weights, const std::string& prefix = "");

// The whole data set: features, targets, weights. `prefix` names the arguments: "validation " or nothing.
template <class T>
DatasetInput read_dataset(const Net<T>& net, const py::object& x, const py::object& y,
                          const py::object& weights, const std::string& prefix = "");

// Where predictions go: `out` checked, or a fresh (rows, outputs) array where it is None.
template <class T>
py::array_t<T> read_output(const py::object& out, const Net<T>& net, const Input& x);

// A new array of these numbers. py::array_t's own constructor gives null where there is no memory for them.
template <class T>
py::array_t<T> copy_of(const T* data, std::size_t size) {
  py::array_t<T> array(static_cast<py::ssize_t>(size));
  std::copy_n(data, size, array.mutable_data());
  return array;
}

}  // namespace chainrule::bindings
