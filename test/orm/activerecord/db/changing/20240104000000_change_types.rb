# The types of published columns change.
class ChangeTypes < ActiveRecord::Migration[6.1]
  def up
    change_column :patients, :name, :string, limit: 300
    change_column :patients, :email, :string, limit: 254
  end

  def down
    change_column :patients, :email, :text
    change_column :patients, :name, :text
  end
end
