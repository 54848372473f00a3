#include "arrays.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <vector>

#include "gil.hpp"

namespace chainrule::bindings {
namespace {

std::string shape_text(const py::array& array) { return py::str(array.attr("shape")); }

bool is_masked(const py::object& given) { return py::hasattr(given, "filled") && py::hasattr(given, "mask"); }

py::array as_array(const py::object& given, const std::string& name) {
  const bool plain = Py_TYPE(given.ptr()) == py::detail::npy_api::get().PyArray_Type_;
  if (plain) return py::reinterpret_borrow<py::array>(given);
  if (is_masked(given)) {
    throw py::type_error(name + " is a masked array; fill or drop its masked values first");
  }
  if (py::hasattr(given, "tocsr"))
    throw py::type_error(name + " is a sparse matrix; make it dense with " + name + ".toarray()");
  try {
    return py::module_::import("chainrule.foreign_arrays").attr("as_ndarray")(given);
  } catch (py::error_already_set& error) {
    if (!error.matches(PyExc_ValueError) && !error.matches(PyExc_TypeError)) throw;
    const py::object type = error.type();
    const std::string reason = py::str(error.value());
    py::raise_from(error, type.ptr(), (name + " cannot be read as an array of numbers: " + reason).c_str());
    throw py::error_already_set();
  }
}

std::optional<ScalarType> scalar_type(const py::dtype& dtype) {
  switch (dtype.kind()) {
    case 'b':
      return ScalarType::boolean;
    case 'i':
      switch (dtype.itemsize()) {
        case 1:
          return ScalarType::int8;
        case 2:
          return ScalarType::int16;
        case 4:
          return ScalarType::int32;
        case 8:
          return ScalarType::int64;
      }
      break;
    case 'u':
      switch (dtype.itemsize()) {
        case 1:
          return ScalarType::uint8;
        case 2:
          return ScalarType::uint16;
        case 4:
          return ScalarType::uint32;
        case 8:
          return ScalarType::uint64;
      }
      break;
    case 'f':
      switch (dtype.itemsize()) {
        case 2:
          return ScalarType::float16;
        case 4:
          return ScalarType::float32;
        case 8:
          return ScalarType::float64;
      }
      break;
  }
  return std::nullopt;
}

ScalarType checked_type(const py::array& array, const std::string& name) {
  const py::dtype dtype = array.dtype();
  const char order = dtype.byteorder();
  // Buffers may spell the machine's own order out.
  if ((order == '<' || order == '>') && !dtype.attr("isnative").cast<bool>()) {
    throw py::type_error(name + " is byte-swapped (dtype " + std::string(py::str(dtype)) +
                         "); convert it with " + name + ".astype(" + name + ".dtype.newbyteorder('='))");
  }
  const std::optional<ScalarType> type = scalar_type(dtype);
  if (!type) {
    throw py::type_error(name + " has dtype " + std::string(py::str(dtype)) +
                         "; allowed are bool, integers, float16, float32 and float64");
  }
  return *type;
}

// The view of a matrix, or of a vector as one row or as one column.
Input view(const py::array& array, const std::string& name, bool vector_is_row) {
  Input input{array, {}, array.ndim() == 1 && vector_is_row};
  input.rows.data = static_cast<const std::byte*>(array.data());
  input.rows.type = checked_type(array, name);
  if (array.ndim() == 2) {
    input.rows.rows = static_cast<std::size_t>(array.shape(0));
    input.rows.columns = static_cast<std::size_t>(array.shape(1));
    input.rows.row_stride = array.strides(0);
    input.rows.column_stride = array.strides(1);
  } else if (vector_is_row) {
    input.rows.rows = 1;
    input.rows.columns = static_cast<std::size_t>(array.shape(0));
    input.rows.column_stride = array.strides(0);
  } else {
    input.rows.rows = static_cast<std::size_t>(array.shape(0));
    input.rows.columns = 1;
    input.rows.row_stride = array.strides(0);
    input.rows.column_stride = array.itemsize();
  }
  return input;
}

// The first row, or place in one, at which check(rows) finds something: in pieces, without the GIL where
// there is much to look at, and with a look for Ctrl-C after each.
template <class Check>
auto search(const Rows& rows, Check check) -> decltype(check(rows)) {
  constexpr std::size_t worth_releasing = 1 << 16, piece = 1 << 24;
  if (rows.sparsity != nullptr || rows.rows * rows.columns < worth_releasing) return check(rows);
  const std::size_t most = std::max<std::size_t>(piece / std::max<std::size_t>(rows.columns, 1), 1);
  for (std::size_t first = 0; first < rows.rows; first += most) {
    Rows part = rows;
    part.data += static_cast<std::ptrdiff_t>(first) * rows.row_stride;
    part.rows = std::min(most, rows.rows - first);
    decltype(check(part)) found;
    {
      const WithoutGil released;
      found = check(part);
    }
    if (found) {
      found->first += first;
      return found;
    }
    if (PyErr_CheckSignals() != 0) throw py::error_already_set();
  }
  return std::nullopt;
}

std::string value_text(const Rows& rows, const std::pair<std::size_t, std::size_t>& at) {
  std::vector<double> row(rows.columns);
  gather(row.data(), rows.columns, rows, {at.first, 1, nullptr});
  return std::string(py::repr(py::float_(row[at.second]))) + " at row " + std::to_string(at.first) +
         ", column " + std::to_string(at.second);
}

template <class T>
void check_finite(const Rows& rows, const std::string& name) {
  if (is_integer(rows.type)) return;
  const auto bad = search(rows, [](const Rows& part) { return first_nonfinite<T>(part); });
  if (!bad) return;
  throw py::value_error(name + " must be finite" + (sizeof(T) == 4 ? " as float32" : "") + "; it is " +
                        value_text(rows, *bad));
}

void check_range(const Rows& rows, const std::string& name, double low, double high,
                 const std::string& what) {
  const auto bad = search(rows, [&](const Rows& part) { return first_outside(part, low, high); });
  if (bad) throw py::value_error(name + " must be " + what + "; it is " + value_text(rows, *bad));
}

void check_distributions(const Rows& rows, const std::string& name) {
  constexpr double tolerance = 1e-2;  // as loose as float16 probabilities are
  using RowAndSum = std::pair<std::size_t, double>;
  const auto bad = search(rows, [](const Rows& part) -> std::optional<RowAndSum> {
    std::vector<double> row(part.columns);
    for (std::size_t i = 0; i < part.rows; ++i) {
      gather(row.data(), part.columns, part, {i, 1, nullptr});
      double sum = 0;
      for (const double value : row) sum += value;
      if (!(std::abs(sum - 1) <= tolerance)) return RowAndSum{i, sum};
    }
    return std::nullopt;
  });
  if (bad)
    throw py::value_error(name + " must be class indices, or rows of probabilities that sum to 1; row " +
                          std::to_string(bad->first) + " sums to " + std::to_string(bad->second));
}

void check_signs(const Rows& rows, const std::string& name) {
  using Position = std::pair<std::size_t, std::size_t>;
  const auto bad = search(rows, [](const Rows& part) -> std::optional<Position> {
    std::vector<double> row(part.columns);
    for (std::size_t i = 0; i < part.rows; ++i) {
      gather(row.data(), part.columns, part, {i, 1, nullptr});
      for (std::size_t j = 0; j < part.columns; ++j) {
        if (row[j] != 0 && row[j] != 1 && row[j] != -1) return Position{i, j};
      }
    }
    return std::nullopt;
  });
  if (bad)
    throw py::value_error(name + " must be 1, and -1 or 0, for the loss hinge; it is " +
                          value_text(rows, *bad));
}

Rows as_rows(const std::vector<std::int32_t>& column) {
  Rows rows;
  rows.data = reinterpret_cast<const std::byte*>(column.data());
  rows.rows = column.size(), rows.columns = 1;
  rows.row_stride = rows.column_stride = sizeof(std::int32_t);
  rows.type = ScalarType::int32;
  return rows;
}

// Rows of SciPy's sparse matrices. What says where the elements are is copied, so that nobody changes it.
Input sparse_view(const py::object& given, const std::string& name) {
  const py::tuple parts = py::module_::import("chainrule.foreign_arrays").attr("as_csr")(given, name);
  const py::array data = as_array(parts[0], name), columns = parts[1];
  const auto starts = parts[2].cast<py::array_t<std::int64_t, py::array::c_style | py::array::forcecast>>();
  const py::tuple shape = parts[3];
  if (shape.size() != 2 || data.ndim() != 1 || columns.ndim() != 1 || starts.ndim() != 1)
    throw py::value_error(name + " must be a sparse matrix of rows and features; it has shape " +
                          std::string(py::str(shape)));
  const auto rows = shape[0].cast<std::size_t>(), features = shape[1].cast<std::size_t>();
  Input input = view(data, name, true);
  input.one_row = false;
  const auto sparse = std::make_shared<SparseRows>();
  sparse->starts.assign(starts.data(), starts.data() + starts.size());
  const bool ascend = std::is_sorted(sparse->starts.begin(), sparse->starts.end());
  if (sparse->starts.empty() || sparse->starts.size() - 1 != rows || sparse->starts.front() != 0 || !ascend ||
      sparse->starts.back() > static_cast<std::uint64_t>(std::min(data.size(), columns.size()))) {
    throw py::value_error(name + ".indptr does not say where the " + std::to_string(rows) +
                          " rows are among the elements of " + name + ".data and " + name + ".indices");
  }
  Input places = view(columns, name + ".indices", false);
  places.rows.rows = sparse->starts.back();
  if (features > std::numeric_limits<std::int32_t>::max())
    throw py::value_error(name + " has " + std::to_string(features) +
                          " features; sparse rows may have 2147483647");
  sparse->columns.resize(places.rows.rows);
  const auto check = [&](const Rows& given_columns) {
    check_range(given_columns, name + ".indices", 0, static_cast<double>(features) - 1,
                "columns from 0 to " + std::to_string(features - 1));
  };
  check(places.rows);  // before they are cast
  gather(sparse->columns.data(), 1, places.rows, {0, places.rows.rows, nullptr});
  check(as_rows(sparse->columns));  // others may have written to theirs meanwhile
  sparse->sparsity = {sparse->starts.data(), sparse->columns.data()};
  input.rows.rows = rows;
  input.rows.columns = features;
  input.rows.sparsity = &sparse->sparsity;
  input.sparse = sparse;
  return input;
}

bool reads_as_labels(const py::array& y, Loss loss) {
  return loss == Loss::cross_entropy && (y.ndim() == 1 || (y.ndim() == 2 && y.shape(1) == 1));
}

template <class T>
Input read_y(const Net<T>& net, std::size_t rows, const py::object& given, const std::string& name,
             std::size_t& classes) {
  const py::array array = as_array(given, name);
  const bool labels = reads_as_labels(array, net.loss());
  classes = labels ? net.outputs() : 0;
  const std::size_t columns = labels ? 1 : net.targets();
  const bool matrix = array.ndim() == 2 && static_cast<std::size_t>(array.shape(1)) == columns;
  const bool vector = array.ndim() == 1 && columns == 1;
  if (!(matrix || vector) || static_cast<std::size_t>(array.shape(0)) != rows) {
    const std::string n = std::to_string(rows), o = std::to_string(net.targets());
    const std::string allowed = net.loss() == Loss::cross_entropy
                                    ? "(" + n + ",) class indices or (" + n + ", " + o + ")"
                                : net.targets() == 1 ? "(" + n + ", 1) or (" + n + ",)"
                                                     : "(" + n + ", " + o + ")";
    throw py::value_error(name + " has shape " + shape_text(array) + "; expected " + allowed);
  }
  Input y = view(array, name, false);
  if (labels) {
    if (!is_integer(y.rows.type)) {
      throw py::type_error(name +
                           " must hold integer class indices, or one probability per class; it has dtype " +
                           std::string(py::str(array.dtype())));
    }
    const std::string last = std::to_string(net.outputs() - 1);
    check_range(y.rows, name, 0, static_cast<double>(net.outputs() - 1), "class indices from 0 to " + last);
  } else if (net.loss() == Loss::log_loss || net.loss() == Loss::cross_entropy) {
    check_range(y.rows, name, 0, 1, "probabilities, from 0 to 1");
    if (net.loss() == Loss::cross_entropy) check_distributions(y.rows, name);
  } else {
    check_finite<T>(y.rows, name);
    if (net.loss() == Loss::poisson) {
      check_range(y.rows, name, 0, std::numeric_limits<double>::max(), "at least 0 for the loss poisson");
    } else if (net.loss() == Loss::hinge) {
      check_signs(y.rows, name);
    }
  }
  return y;
}

template <class T>
std::optional<Input> read_weights(std::size_t rows, const py::object& given, const std::string& name) {
  if (given.is_none()) return std::nullopt;
  const py::array array = as_array(given, name);
  if (array.ndim() != 1 || static_cast<std::size_t>(array.shape(0)) != rows) {
    throw py::value_error(name + " has shape " + shape_text(array) + "; expected (" + std::to_string(rows) +
                          ",)");
  }
  Input weights = view(array, name, false);
  check_finite<T>(weights.rows, name);
  const bool single = sizeof(T) == 4;
  check_range(weights.rows, name, 0, kMostWeight<T>, single ? "from 0 to 1e30" : "from 0 to 1e290");
  if (!first_outside(weights.rows, 0, std::nextafter(kLeastWeight<T>, 0.0)))
    throw py::value_error(name + " must not be zero for every row, or below " +
                          (single ? "1e-30" : "1e-290"));
  return weights;
}

bool overlap(const py::array& a, const py::array& b) {
  return py::module_::import("numpy").attr("shares_memory")(a, b).cast<bool>();
}

Input read_rows(const py::object& x, const std::string& name, std::size_t features, bool vector_is_row) {
  const bool is_array = py::isinstance<py::array>(x);
  if (!is_array && py::hasattr(x, "tocsr")) return sparse_view(x, name);
  const py::array array = as_array(x, name);
  if (array.ndim() != 2 && !(array.ndim() == 1 && vector_is_row)) {
    throw py::value_error(name + " must be a matrix of shape (rows, " + std::to_string(features) +
                          "); it has shape " + shape_text(array));
  }
  return view(array, name, vector_is_row);
}

}  // namespace

Dataset DatasetInput::dataset() const {
  return {x.rows, y.rows, classes, weights ? std::optional<Rows>(weights->rows) : std::nullopt};
}

template <class T>
Input read_features(const py::object& x, const char* name, std::size_t features, bool vector_is_row) {
  const Input input = read_rows(x, name, features, vector_is_row);
  if (input.rows.columns != features) {
    throw py::value_error(std::string(name) + " has " + std::to_string(input.rows.columns) +
                          " features, but the net takes " + std::to_string(features));
  }
  if (input.rows.rows == 0) throw py::value_error(std::string(name) + " has no rows");
  check_finite<T>(input.rows, name);
  return input;
}

template <class T>
void read_targets(DatasetInput& into, const Net<T>& net, std::size_t rows, const py::object& y,
                  const py::object& weights, const std::string& prefix) {
  into.y = read_y(net, rows, y, prefix + "Y", into.classes);
  into.weights = read_weights<T>(rows, weights, prefix + "sample_weight");
}

template <class T>
DatasetInput read_dataset(const Net<T>& net, const py::object& x, const py::object& y,
                          const py::object& weights, const std::string& prefix) {
  DatasetInput input;
  input.x = read_features<T>(x, (prefix + "X").c_str(), net.features());
  read_targets(input, net, input.x.rows.rows, y, weights, prefix);
  return input;
}

template <class T>
py::array_t<T> read_output(const py::object& out, const Net<T>& net, const Input& x) {
  const auto rows = static_cast<py::ssize_t>(x.rows.rows), outputs = static_cast<py::ssize_t>(net.outputs());
  const std::vector<py::ssize_t> shape =
      x.one_row ? std::vector<py::ssize_t>{outputs} : std::vector<py::ssize_t>{rows, outputs};
  if (out.is_none()) return py::array_t<T>(shape);
  const char* dtype = sizeof(T) == 4 ? "float32" : "float64";
  if (!py::isinstance<py::array_t<T>>(out) || is_masked(out)) {
    const std::string type = py::str(py::type::handle_of(out).attr("__name__"));
    throw py::type_error(
        std::string("out must be a NumPy array of dtype ") + dtype + "; got " + type +
        (py::isinstance<py::array>(out) ? " of dtype " + std::string(py::str(out.attr("dtype"))) : ""));
  }
  const auto array = py::reinterpret_borrow<py::array_t<T>>(out);
  const std::vector<py::ssize_t> given(array.shape(), array.shape() + array.ndim());
  if (given != shape) {
    const std::string expected = x.one_row
                                     ? "(" + std::to_string(outputs) + ",)"
                                     : "(" + std::to_string(rows) + ", " + std::to_string(outputs) + ")";
    throw py::value_error("out has shape " + shape_text(array) + "; expected " + expected);
  }
  if (!array.writeable()) throw py::value_error("out is read-only");
  const auto size = static_cast<py::ssize_t>(sizeof(T));
  const bool unit = outputs == 1 || array.strides(array.ndim() - 1) == size;
  // The distance of rows means nothing where there is one.
  const bool aligned = reinterpret_cast<std::uintptr_t>(array.data()) % sizeof(T) == 0 &&
                       (rows == 1 || array.strides(0) % size == 0);
  if (!unit || !aligned)
    throw py::value_error("out must be aligned and have the outputs of a row side by side");
  if (rows > 1 && std::abs(array.strides(0)) < outputs * size)
    throw py::value_error("the rows of out overlap");
  if (overlap(array, x.owner)) throw py::value_error("out overlaps X");
  const Buffer<T>& arena = net.parameters();
  const py::array_t<T> parameters(static_cast<py::ssize_t>(arena.size()), arena.data(), py::none());
  if (overlap(array, parameters)) throw py::value_error("out overlaps the net's parameters");
  return array;
}

#define CHAINRULE_INSTANTIATE(T)                                                                             \
  template Input read_features<T>(const py::object&, const char*, std::size_t, bool);                        \
  template void read_targets(DatasetInput&, const Net<T>&, std::size_t, const py::object&,                   \
                             const py::object&, const std::string&);                                         \
  template DatasetInput read_dataset(const Net<T>&, const py::object&, const py::object&, const py::object&, \
                                     const std::string&);                                                    \
  template py::array_t<T> read_output(const py::object&, const Net<T>&, const Input&);
CHAINRULE_INSTANTIATE(float)
CHAINRULE_INSTANTIATE(double)
#undef CHAINRULE_INSTANTIATE

}  // namespace chainrule::bindings
